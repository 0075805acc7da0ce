"""Archives that cannot be used, and the registry on loopback that Docker and Podman pull them from."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dgctl import content
from dgctl.export import archive
from tests import utilities
from tests.ports import free_port

from .conftest import PASSWORD, RELEASE, USER, Registry

utilities.use()
shape: Any = content.utility("containers.archive")
loopback: Any = content.utility("containers.loopback")
API = "self-hosted-api"


def refusal(file: Path) -> str:
    with pytest.raises(shape.Unusable) as error:
        shape.Archive(str(file)).check()
    assert error.value.fix
    return str(error.value)


def rewritten(file: Path, change: dict[str, bytes | None]) -> None:
    """The archive again with other content for some members; None leaves one out."""
    out = io.BytesIO()
    with tarfile.open(file) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            data = old.extractfile(member).read()  # type: ignore[union-attr]
            data = change.get(member.name, data)  # type: ignore[assignment]
            if data is not None:
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
    file.write_bytes(out.getvalue())


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_a_torn_archive_is_refused_wherever_it_ends(saved: Path, share: float) -> None:
    data = saved.read_bytes().rstrip(b"\0")  # what a tar is filled up with
    saved.write_bytes(data[: int(len(data) * share)])
    assert "torn" in refusal(saved)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.tar"
    file.write_text("hello " * 500)
    assert "no archive of images" in refusal(file)
    with tarfile.open(file, "w") as tar:
        tar.addfile(tarfile.TarInfo("x"))
    assert f"{shape.ABOUT} is missing" in refusal(file)
    assert shape.there(str(file)) is None and shape.there(str(tmp_path / "none.tar")) is None


def test_a_byte_that_changed_is_found(saved: Path) -> None:
    held = shape.Archive(str(saved))
    name = max((each for each in held.members if each.startswith("blobs/")), key=lambda each: held.members[each][1])
    begin, size = held.members[name]
    with saved.open("r+b") as stream:
        stream.seek(begin + size // 2)
        (byte,) = stream.read(1)
        stream.seek(begin + size // 2)
        stream.write(bytes([byte ^ 1]))
    assert f"damaged: {name}" in refusal(saved)


def test_a_blob_that_is_not_there_is_found(saved: Path) -> None:
    digest = next(iter(shape.Archive(str(saved)).images.values()))
    rewritten(saved, {shape.blob(digest): None})
    assert f"torn: {digest} is missing" in refusal(saved)


@pytest.mark.parametrize("index", [True, False])
def test_an_image_of_another_architecture_than_the_archive_says_is_found(
    registry: Registry, tmp_path: Path, index: bool
) -> None:
    registry.push(API, index=index, arch="arm64")
    file, name = tmp_path / "images.tar", f"{registry.name(API)}:{RELEASE}"
    archive.save(file, [archive.Image(name, "", USER, PASSWORD)], "arm64", lambda text: None)
    shape.Archive(str(file)).check()
    with tarfile.open(file) as tar:
        about = json.load(tar.extractfile(shape.ABOUT))  # type: ignore[arg-type]
    rewritten(file, {shape.ABOUT: json.dumps({**about, "architecture": "amd64"}).encode()})
    assert refusal(file) == f"it says that it is for amd64, and {name} in it is for arm64"


@pytest.mark.parametrize("layout", [True, False])
def test_what_docker_save_writes_is_refused_by_its_name(saved: Path, layout: bool) -> None:
    """moby, image/spec/spec.md: "Combined Image JSON + Filesystem Changeset Format", since release 25 in an OCI image layout."""
    docker = json.dumps([{"Config": "blobs/sha256/x", "RepoTags": ["x:y"], "Layers": []}]).encode()
    if layout:
        rewritten(saved, {shape.ABOUT: None, "index.json": b"{}"})
    with tarfile.open(saved, "a" if layout else "w") as tar:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(docker)
        tar.addfile(member, io.BytesIO(docker))
    with pytest.raises(shape.Unusable, match="docker save or podman save") as error:
        shape.Archive(str(saved))
    assert "dgctl images save" in error.value.fix


@pytest.mark.parametrize("images", [{"x": ["sha256"]}, {"x": 5}, ["x"], "x", None])
def test_an_archive_that_names_its_images_otherwise_is_refused(saved: Path, images: Any) -> None:
    about = {"format": shape.FORMAT, "architecture": "amd64", "images": images, "manifests": {}}
    rewritten(saved, {shape.ABOUT: json.dumps(about).encode()})
    assert "cannot be read" in refusal(saved)


def test_an_archive_of_a_later_form_is_refused(saved: Path) -> None:
    rewritten(saved, {shape.ABOUT: json.dumps({"format": 2}).encode()})
    assert "format 2" in refusal(saved)
    rewritten(saved, {shape.ABOUT: b"[]"})
    assert "cannot be read" in refusal(saved)


class Asked:
    """What the registry on loopback answers."""

    def __init__(self, port: int):
        self.port = port

    def __call__(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, dict(answer.headers), data


@pytest.fixture
def ask(saved: Path) -> Iterator[Asked]:
    port = free_port()
    with loopback.served(shape.Archive(str(saved)), port=port):
        yield Asked(port)


def test_it_answers_pulls_by_digest(ask: Asked, registry: Registry) -> None:
    """OCI distribution specification, pulling manifests and blobs: the digest, the media type, the very bytes."""
    assert ask("/v2/")[0] == 200
    repository = loopback.local(registry.name(API)).partition("/")[2]
    for digest, (form, data) in registry.manifests.items():
        status, headers, body = ask(f"/v2/{repository}/manifests/{digest}")
        assert (status, headers["Content-Type"], headers["Docker-Content-Digest"]) == (200, form, digest)
        assert body == data and f"sha256:{hashlib.sha256(body).hexdigest()}" == digest
        status, headers, body = ask(f"/v2/{repository}/manifests/{digest}", "HEAD")
        assert (status, headers["Content-Length"], body) == (200, str(len(data)), b"")
    for digest, data in registry.blobs.items():
        assert ask(f"/v2/{repository}/blobs/{digest}")[2] == data
        assert ask(f"/v2/{repository}/manifests/{digest}")[0] == 404, "a blob is no manifest"


@pytest.mark.parametrize("reference", [RELEASE, f"sha256:{'0' * 64}", "..%2f..%2fetc%2fpasswd", "sha256:../../x"])
def test_what_it_has_not_is_not_there(ask: Asked, reference: str) -> None:
    for kind in ("manifests", "blobs", "tags"):
        status, _, body = ask(f"/v2/deepgram/{API}/{kind}/{reference}")
        assert status == 404 and json.loads(body)["errors"][0]["code"] == "MANIFEST_UNKNOWN"


@pytest.mark.parametrize("hello", [b"\x16\x03\x01\x02\x00\x01\x00", b"\x16\x03\x01\x02\x00\x01\x00" + b"x\n" * 200])
def test_a_tls_handshake_is_answered_in_plain_http_at_once(ask: Asked, hello: bytes) -> None:
    """Docker 26.1.5 with its containerd store gave up at anything else: "first record does not look like a TLS handshake"."""
    with socket.create_connection(("127.0.0.1", ask.port), 5) as connection:
        connection.sendall(hello)
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_names_are_those_of_a_registry() -> None:
    """distribution/reference: a path component is of letters, digits, and single . _ - between them; no colon."""
    assert loopback.local("quay.io/deepgram/x") == "127.0.0.1:9812/quay.io/deepgram/x"
    assert loopback.local("registry.lab:5000/deepgram/x") == "127.0.0.1:9812/registry.lab-5000/deepgram/x"
    assert loopback.is_local(loopback.local("a/b")) and not loopback.is_local("127.0.0.1:98120/x")
