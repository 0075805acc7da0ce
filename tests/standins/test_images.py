"""The stand-in images: the same content has the same digest, and holds what the programs read."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile

import pytest

from lab.containers.tarball import tar_of
from lab.deepgram import images, oci


@pytest.fixture
def state(tmp_path):
    return tmp_path


def build(state, name="self-hosted-engine", release=images.RELEASES[1]) -> oci.Image:
    ca = state / "ca.pem"
    ca.write_text("a certificate")
    base = oci.compress([tar_of({"etc/debian_version": (b"13\n", 0o644)})], state / "base.tar.gz")
    return images.build(name, release, base, ca, state)


def test_same_content_same_digest(state):
    first = build(state)
    assert build(state).digest == first.digest
    digests = {build(state, name, release).digest for name in images.IMAGES for release in images.RELEASES}
    assert len(digests) == len(images.IMAGES) * len(images.RELEASES) and first.digest in digests


def test_blobs_are_what_the_manifest_says(state):
    image = build(state)
    manifest = json.loads(image.manifest)
    named = [manifest["config"], *manifest["layers"]]
    assert {one["digest"]: one["size"] for one in named} == {blob.digest: blob.size for blob in image.blobs}
    for blob in image.blobs:
        content = blob.path.read_bytes()
        assert blob.digest == "sha256:" + hashlib.sha256(content).hexdigest()
        if blob.diff_id:
            assert blob.diff_id == "sha256:" + hashlib.sha256(gzip.decompress(content)).hexdigest()


@pytest.mark.parametrize(("name", "program"), [(name, about[0]) for name, about in images.IMAGES.items()])
def test_program_layer(state, name, program):
    layer = build(state, name).blobs[1]
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.path.read_bytes()))) as tar:
        members = {one.name: one for one in tar}
        about = json.loads(tar.extractfile("usr/share/deepgram/release.json").read())
    assert [one for one in members if one.startswith("usr/bin/")] == [f"usr/bin/{program}"]
    assert members[f"usr/bin/{program}"].mode == 0o755
    assert members["usr/share/deepgram/internal.pem"].mode == 0o600
    assert {"usr/lib/deepgram/programs/recordings.json", "usr/share/deepgram/lab-ca.pem"} <= members.keys()
    assert about["release"] == "release-260812" and about["license_server"] == images.LICENSE_SERVER


@pytest.mark.parametrize("module", [about[1] for about in images.IMAGES.values()])
def test_a_program_finds_its_modules_where_the_image_has_them(state, module):
    layer = build(state).blobs[1]
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.path.read_bytes()))) as tar:
        tar.extractall(state / "image")
    code = (
        f"import sys; sys.path.insert(0, {str(state / 'image/usr/lib/deepgram')!r}); from programs import {module}, release;"
        "print(release.HERE, callable(" + module + ".main), (release.HERE / 'bundled/engine.toml').exists())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=state, capture_output=True, text=True, check=False)
    assert done.stdout == f"{state / 'image/usr/lib/deepgram/programs'} True True\n", done.stderr
