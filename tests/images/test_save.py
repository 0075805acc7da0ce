"""What `dgctl images save` takes from a registry, and what it refuses."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from dgctl.base.errors import DgctlError, Exit
from dgctl.export import archive

from .conftest import PASSWORD, RELEASE, USER, Registry

API = "self-hosted-api"


def save(registry: Registry, file: Path, digest: str = "", architecture: str = "amd64") -> dict[str, str]:
    image = archive.Image(f"{registry.name(API)}:{RELEASE}", digest, USER, PASSWORD)
    return archive.save(file, [image], architecture, lambda text: None)


def refused(registry: Registry, file: Path, **asked: str) -> tuple[str, str]:
    """What is said, and the fix; nothing is left."""
    with pytest.raises(DgctlError) as error:
        save(registry, file, **asked)
    assert error.value.exit_code == Exit.USAGE and list(file.parent.glob("*.tar*")) == []
    (problem,) = error.value.problems
    return f"{problem.where} {problem.what}", problem.fix


@pytest.mark.parametrize("index", [True, False])
def test_the_archive_has_the_registry_s_own_bytes(registry: Registry, tmp_path: Path, index: bool) -> None:
    digest, file = registry.push(API, index=index), tmp_path / "images.tar"
    assert save(registry, file) == {f"{registry.name(API)}:{RELEASE}": digest}
    held = archive.shape().Archive(str(file))
    held.check()
    assert held.images == {f"{registry.name(API)}:{RELEASE}": digest} and held.architecture == "amd64"
    assert held.manifests == {each: form for each, (form, _) in registry.manifests.items()}
    for each, data in {**registry.blobs, **{each: data for each, (_, data) in registry.manifests.items()}}.items():
        assert b"".join(held.pieces(archive.shape().blob(each))) == data
    assert file.stat().st_mode & 0o777 == 0o600, "the images are for those who have an account"


def test_it_is_an_oci_image_layout_too(saved: Path) -> None:
    """OCI image specification, image-layout.md: oci-layout, index.json, and every blob under its digest."""
    with tarfile.open(saved) as tar:
        names = tar.getnames()
        layout, index = (json.load(tar.extractfile(name)) for name in ("oci-layout", "index.json"))  # type: ignore[arg-type]
        for name in names:
            if name.startswith("blobs/"):
                data = tar.extractfile(name).read()  # type: ignore[union-attr]
                assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
    assert layout == {"imageLayoutVersion": "1.0.0"} and index["schemaVersion"] == 2
    assert len(names) == len(set(names)), "what two images share is there once"
    assert [
        each["annotations"]["org.opencontainers.image.ref.name"].rpartition(":")[2] for each in index["manifests"]
    ] == [
        RELEASE,
        RELEASE,
    ]


def test_nobody_but_the_registry_gets_the_account(registry: Registry, saved: Path) -> None:
    assert ("elsewhere", True) not in registry.asked and ("elsewhere", False) in registry.asked


def test_a_pinned_image_is_saved_though_the_tag_has_moved(registry: Registry, tmp_path: Path) -> None:
    first = registry.push(API, text="one")
    assert registry.push(API, text="two") != first
    assert [*save(registry, tmp_path / "images.tar", digest=first).values()] == [first]


def test_a_token_that_runs_out_is_asked_for_again(registry: Registry, tmp_path: Path) -> None:
    registry.push(API)
    registry.lasts = 2
    save(registry, tmp_path / "images.tar")
    assert sum(path.startswith("/token") for path, _ in registry.asked) > 1


def test_a_token_that_is_never_accepted_is_not_asked_for_for_ever(registry: Registry, tmp_path: Path) -> None:
    registry.push(API)
    registry.lasts = 0
    reported, fix = refused(registry, tmp_path / "images.tar")
    assert "HTTP 401" in reported and "deepgram_registry_password" in fix


def test_a_blob_that_breaks_off_is_taken_again(registry: Registry, tmp_path: Path) -> None:
    registry.push(API)
    registry.torn = 2
    save(registry, tmp_path / "images.tar")
    archive.shape().Archive(str(tmp_path / "images.tar")).check()


def test_a_blob_that_never_arrives_leaves_no_archive(registry: Registry, tmp_path: Path) -> None:
    registry.push(API)
    registry.torn = 99
    reported, fix = refused(registry, tmp_path / "images.tar")
    assert "does not arrive" in reported and "try again" in fix


def test_a_blob_that_is_another_is_never_kept(registry: Registry, tmp_path: Path) -> None:
    registry.push(API)
    for digest, data in registry.blobs.items():
        registry.blobs[digest] = bytes(len(data))
    assert "not what its digest says" in refused(registry, tmp_path / "images.tar")[0]


def test_a_disk_that_fills_up_is_no_fault_of_the_registry(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.push(API)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(OSError, match="No space left"):
        save(registry, tmp_path / "x.tar")
    assert list(tmp_path.glob("x.tar*")) == []


def test_an_older_archive_stays_when_a_new_one_fails(registry: Registry, saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(DgctlError):
        save(registry, saved, digest=f"sha256:{'a' * 64}")
    assert saved.read_bytes() == before and os.listdir(saved.parent).count("images.tar.part") == 0


@pytest.mark.parametrize("index", [True, False])
def test_another_architecture_is_refused_with_those_there_are(registry: Registry, tmp_path: Path, index: bool) -> None:
    registry.push(API, index=index)
    reported, fix = refused(registry, tmp_path / "images.tar", architecture="arm64")
    assert "amd64" in reported and "not for arm64" in reported and "--arch" in fix


def test_a_release_that_is_not_there_is_named(registry: Registry, tmp_path: Path) -> None:
    reported, fix = refused(registry, tmp_path / "images.tar")
    assert f"{API}:{RELEASE}" in reported and "HTTP 404" in reported and "deepgram_release" in fix


def test_a_manifest_that_is_no_json_is_refused(registry: Registry, tmp_path: Path) -> None:
    digest = registry.push(API)
    registry.manifests[digest] = (registry.manifests[digest][0], b"<html>")
    assert "no manifest" in refused(registry, tmp_path / "images.tar")[0]


def test_a_registry_out_of_reach_is_told(registry: Registry, tmp_path: Path) -> None:
    image = archive.Image(f"nowhere.invalid/deepgram/{API}:{RELEASE}", "")
    with pytest.raises(DgctlError, match="does not resolve"):
        archive.save(tmp_path / "images.tar", [image], "amd64", lambda text: None)
