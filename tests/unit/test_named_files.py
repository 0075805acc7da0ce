"""Files that a person names on the command line: one that cannot be used is refused in a sentence, and leaves no traceback."""

from __future__ import annotations

import errno
import json
import os
import socket
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dgctl.base import given
from dgctl.base.errors import DgctlError
from dgctl.cli import main
from dgctl.export import archive
from dgctl.run import playbook
from tests.unit.conftest import folder, root, write  # noqa: F401 - fixtures

INVENTORY = """\
[node]
gpu1 ansible_host=192.0.2.11

[license_proxy]
license1 ansible_host=192.0.2.12

[billing]
billing1 ansible_host=192.0.2.13

[all:vars]
ansible_user=ops
deepgram_release=release-260812
billing_license_file={folder}/licence
"""


@pytest.fixture
def called(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    """called(words): the only error of a call that ends with exit code 2, touches no server, and leaves no file for bugs."""
    write(Path("licence"), "x", 0o600)
    write(Path("group_vars/all/vault.yml"), "deepgram_license_key: abc\n", 0o600)
    write(Path("inventory.ini"), INVENTORY.format(folder=Path.cwd()), 0o600)
    bugs = tmp_path / "bugs"
    bugs.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(bugs))
    monkeypatch.setattr(playbook, "run", lambda job: pytest.fail("a server was touched"))
    things()

    def call(*words: str) -> dict[str, str]:
        done = CliRunner().invoke(main, [*words, "--json"])
        document = json.loads(done.stdout)
        assert done.exit_code == 2, document
        assert [path.name for path in bugs.glob("dgctl-bug-*")] == []
        (error,) = document["errors"]
        assert error["fix"] and error["where"], error
        return dict(error)

    return call


def things() -> None:
    """What a person may name by mistake."""
    Path("empty").touch()
    Path("folder").mkdir()
    os.mkfifo("pipe")
    Path("noise").write_bytes(os.urandom(3000))
    with tarfile.open("other.tar", "w") as tar:
        tar.add("inventory.ini")
    with tarfile.open("compressed.tar.gz", "w:gz") as tar:
        tar.add("inventory.ini")


UNUSABLE = (
    ("none.tar", "it does not exist"),
    ("folder", "it is a directory"),
    ("pipe", "it is a pipe"),
    ("/dev/null", "it is a device"),
    ("empty", "it is empty"),
    ("noise", "no archive of images"),
    ("compressed.tar.gz", "no archive of images"),
    ("other.tar", "no archive of dgctl's"),
    ("inventory.ini/x.tar", "Not a directory"),
    (300 * "a", "File name too long"),
)


@pytest.mark.parametrize(("name", "seen"), UNUSABLE, ids=[name[:20] for name, _ in UNUSABLE])
def test_an_archive_that_cannot_be_used(called: Any, name: str, seen: str) -> None:
    error = called("images", "load", "inventory.ini", name)
    assert error["what"].startswith("no image can be taken from this file: ") and seen in error["what"]
    assert error["where"] == name and "dgctl images save INVENTORY --to FILE" in error["fix"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_archive_that_may_not_be_read(called: Any) -> None:
    Path("noise").chmod(0)
    assert "Permission denied" in called("images", "load", "inventory.ini", "noise")["what"]


def test_what_the_system_refuses_to_open_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As for anybody but root, whom rights do not keep out."""
    file = tmp_path / "images.tar"
    file.write_text("x")
    monkeypatch.setattr(Path, "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(DgctlError, match="cannot be used: Permission denied"):
        given.require_file(file, "it cannot be used", "x")


def test_a_socket_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("s")
        with pytest.raises(DgctlError, match="it is a socket"):
            given.require_file(Path("s"), "no", "x")


NO_PLACE = (
    ("nowhere/images.tar", "no such folder", "mkdir -p nowhere"),
    ("folder", "it is a directory", "folder/NAME"),
    ("inventory.ini/images.tar", "no such folder", "name another file"),
    ("/proc/images.tar", "its folder refuses it", "may write to"),
)


@pytest.mark.parametrize(("name", "seen", "fix"), NO_PLACE)
def test_images_are_saved_nowhere_else(
    called: Any, monkeypatch: pytest.MonkeyPatch, name: str, seen: str, fix: str
) -> None:
    monkeypatch.setattr(archive, "save", lambda *_: pytest.fail("the registry was asked"))
    error = called("images", "save", "inventory.ini", "--to", name)
    assert error["what"] == f"the images cannot be written: {seen}" and fix in error["fix"]


def test_a_disk_that_fills_up_is_no_fault_of_the_registry(called: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archive, "save", full)
    error = called("images", "save", "inventory.ini", "--to", "images.tar")
    assert error["value"] == "No space left on device" and "room" in error["fix"] and error["where"] == "images.tar"


@pytest.mark.parametrize(
    ("name", "seen"), [("nowhere/plan", "no such folder"), ("/proc/plan", "its folder refuses it")]
)
def test_a_plan_is_not_made_for_a_place_that_refuses_it(called: Any, name: str, seen: str) -> None:
    assert called("plan", "inventory.ini", "--out", name)["what"] == f"the plan cannot be written: {seen}"


@pytest.mark.parametrize("name", ["/proc/export", "inventory.ini/export", 300 * "a"], ids=["proc", "file", "long"])
def test_an_export_into_a_place_that_refuses_it(called: Any, name: str) -> None:
    assert called("export", "monitoring", "inventory.ini", name)["what"] == "the files cannot be written there"


def test_an_export_beside_a_file_that_is_no_text(called: Any) -> None:
    Path("folder/scrape.yml").write_bytes(b"\xff\xfe")
    assert called("export", "monitoring", "inventory.ini", "folder")["what"] == "other files are there already"


def test_journals_where_a_file_is_in_the_way(called: Any) -> None:
    Path("journals").touch()
    error = called("journal", "inventory.ini")
    assert error["what"] == "journals cannot be put there" and error["value"] == "File exists"
