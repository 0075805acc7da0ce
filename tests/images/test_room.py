"""Room for an archive of images: on its way, where it lies, and for what the container engine makes of it."""

from __future__ import annotations

import gzip
import json
import os
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from dgctl import content
from tests import utilities
from tests.roles_app.conftest import load

from .conftest import RELEASE, Registry
from .test_archive import rewritten

utilities.use()
MODULE: Any = load("modules", "image_archive")
room: Any = content.utility("containers.room")
shape: Any = content.utility("containers.archive")
GB = 10**9
DIGEST = f"sha256:{'1' * 64}"
Usage = namedtuple("Usage", "free")


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """disks(free, home=1, archive=2, images=3): the free GB of a filesystem's number, and which folder is on which."""
    folders = {name: tmp_path / name for name in ("home", "archive", "images")}
    for folder in folders.values():
        folder.mkdir()
    monkeypatch.setattr(room, "store", lambda engine, configured="": str(folders["images"]))
    for place in (room, MODULE):  # no engine runs here, whatever does on this machine
        monkeypatch.setattr(place, "run", lambda argv: (1, "", ""))

    def go(free: dict[int, float], **numbers: int) -> dict[str, Path]:
        on = {str(folder): numbers[name] for name, folder in folders.items()}
        monkeypatch.setattr(room.shutil, "disk_usage", lambda path: Usage(free[on[path]] * GB))
        monkeypatch.setattr(room, "filesystem", on.__getitem__)
        return folders

    return go


def params(folders: dict[str, Path], size: float = 10, images: float = 20) -> dict[str, Any]:
    machine = os.uname().machine
    return {
        "path": str(folders["archive"] / "archive.tar"),
        "upload": str(folders["home"]),
        "sha256": "x",
        "size": int(size * GB),
        "architecture": shape.ARCHITECTURES.get(machine, machine),
        "engine": "docker",
        "store": "",
        "images": [{"repository": "quay.io/deepgram/self-hosted-api", "digest": DIGEST, "bytes": int(images * GB)}],
    }


def refused(state: Any, given: dict[str, Any]) -> str:
    with pytest.raises(room.NoRoom) as error:
        state(given, False)
    return f"{error.value}; {error.value.fix}"


def test_room_everywhere_is_enough(disks: Any) -> None:
    folders = disks({1: 12, 2: 12, 3: 22}, home=1, archive=2, images=3)
    assert MODULE.checked(params(folders), False) == {"changed": False, "is_here": False, "engine_runs": False}
    assert MODULE.passable(params(folders), False) == {"changed": False}


def test_the_home_of_the_ssh_user_is_too_small(disks: Any) -> None:
    folders = disks({1: 9, 2: 100, 3: 100}, home=1, archive=2, images=3)
    MODULE.checked(params(folders), False)
    reported = refused(MODULE.passable, params(folders))
    assert (
        f"the archive on its way (10.0 GB at {folders['home']}): 11.1 GB are needed there, and 9.0 GB are free"
        in reported
    )
    assert "ansible_remote_tmp" in reported


def test_a_home_beside_the_archive_needs_no_room_of_its_own(disks: Any) -> None:
    """It is moved from there, and so lies there once: the archive's own room is what counts."""
    folders = disks({1: 12, 3: 100}, home=1, archive=1, images=3)
    assert MODULE.passable(params(folders), False) == {"changed": False}
    assert MODULE.checked(params(folders), False)["is_here"] is False


def test_the_archive_s_own_place_is_too_small(disks: Any) -> None:
    folders = disks({1: 100, 2: 10.5, 3: 100}, home=1, archive=2, images=3)
    reported = refused(MODULE.checked, params(folders))
    assert (
        "the archive (10.0 GB" in reported and "10.5 GB are free" in reported and "deepgram_image_archive" in reported
    )
    assert "images (" not in reported


def test_the_engine_s_images_are_too_large(disks: Any) -> None:
    folders = disks({1: 100, 2: 100, 3: 19}, home=1, archive=2, images=3)
    reported = refused(MODULE.checked, params(folders))
    assert (
        f"docker's images (20.0 GB at {folders['images']}): 21.1 GB are needed there, and 19.0 GB are free" in reported
    )
    assert "larger disk" in reported and "deepgram_image_archive" not in reported


def test_what_shares_a_filesystem_is_added_up(disks: Any) -> None:
    folders = disks({1: 100, 2: 25}, home=1, archive=2, images=2)
    reported = refused(MODULE.checked, params(folders))
    assert (
        "the archive (10.0 GB" in reported
        and "and docker's images (20.0 GB" in reported
        and "31.1 GB are needed" in reported
    )


@pytest.mark.parametrize(
    "place", ["quay.io/deepgram/self-hosted-api", "127.0.0.1:9812/quay.io/deepgram/self-hosted-api"]
)
def test_images_that_are_there_need_none(disks: Any, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    folders = disks({1: 100, 2: 100, 3: 0}, home=1, archive=2, images=3)
    monkeypatch.setattr(room, "run", lambda argv: (int(argv[-1] != f"{place}@{DIGEST}"), "", ""))
    assert MODULE.checked(params(folders), False)["is_here"] is False


INFO = {
    "classic": (
        "docker",
        {"DockerRootDir": "/big/docker", "DriverStatus": [["Backing Filesystem", "extfs"]]},
        "/big/docker",
    ),
    "containerd": (
        "docker",
        {"DockerRootDir": "/big/docker", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]},
        "/var/lib/containerd",
    ),
    "podman": ("podman", {"store": {"graphRoot": "/big/podman"}}, "/big/podman"),
    "other words": ("podman", {"store": None}, "/var/lib/containers/storage"),
    "no object": ("docker", [], "/configured"),
}


@pytest.mark.parametrize(("engine", "reported", "place"), INFO.values(), ids=INFO)
def test_an_engine_says_where_its_images_are(
    monkeypatch: pytest.MonkeyPatch, engine: str, reported: Any, place: str
) -> None:
    monkeypatch.setattr(room, "run", lambda argv: (0, json.dumps(reported), ""))
    assert room.store(engine, "/configured") == place


def test_an_engine_that_does_not_answer_has_them_where_it_is_to_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "run", lambda argv: (1, "", "Cannot connect"))
    assert room.store("docker", "/configured") == "/configured" and room.store("docker") == "/var/lib/docker"
    assert room.store("podman", "/configured") == "/var/lib/containers/storage"


def test_an_upload_is_looked_for_where_ansible_puts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("HOME", "/home/ops")
    assert MODULE.upload_folder("~/.ansible/tmp") == "/home/ops/.ansible/tmp"
    assert MODULE.upload_folder("/big/tmp") == "/big/tmp"
    monkeypatch.setenv("SUDO_USER", "root")
    assert MODULE.upload_folder("~/.ansible/tmp") == os.path.expanduser("~root") + "/.ansible/tmp"


SIZES = (
    (100, 250, 250),  # as gzip says it
    (3 * GB, 7 * GB - 2**32, 7 * GB),  # beyond what it can say
    (10**7, 500, 2 * 10**7),  # of several parts, of which it says the last one's
    (120, 100, 240),  # what does not become smaller
    (5 * 10**6, 10**9, 10**9),  # what becomes very small
)


@pytest.mark.parametrize(("size", "reported", "bytes_"), SIZES)
def test_unpacked(size: int, reported: int, bytes_: int) -> None:
    assert shape.unpacked(size, reported) == bytes_


def test_the_room_of_images_is_that_of_their_layers(saved: Path, registry: Registry) -> None:
    held = shape.Archive(str(saved))
    digests = [registry.tags[f"self-hosted-{part}:{RELEASE}"] for part in ("api", "engine")]
    expected = []
    for digest in digests:
        index = json.loads(registry.manifests[digest][1])
        manifest = json.loads(registry.manifests[index["manifests"][0]["digest"]][1])
        layers = [registry.blobs[each["digest"]] for each in manifest["layers"]]
        expected.append(sum(len(data) + max(len(gzip.decompress(data)), 0) for data in layers))
    assert held.room(digests) == expected
    assert held.room([digests[0], digests[0]]) == [expected[0], 0], "a layer that two have is there once"


def test_a_manifest_that_is_none_is_refused(saved: Path, registry: Registry) -> None:
    digest = registry.tags[f"self-hosted-api:{RELEASE}"]
    rewritten(saved, {shape.blob(digest): b'{"manifests": [7]}'})
    with pytest.raises(shape.Unusable, match="cannot be read"):
        shape.Archive(str(saved)).room([digest])
