"""`dgctl journal`: a journal arrives whole under a name of its own, or not at all, and nothing is changed on the server."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from dgctl.base import ssh
from dgctl.base.errors import Problem
from dgctl.deployment.deployment import Host
from dgctl.run import journals
from dgctl.run.session import main
from dgctl.verbs import journal
from tests.unit.called import called
from tests.unit.conftest import *  # noqa: F403

pytestmark = pytest.mark.usefixtures("here")

INVENTORY = """\
[node]
gpu1 ansible_host=192.0.2.11
[billing]
bl1 ansible_host=192.0.2.20
bl2 ansible_host=192.0.2.21
[all:vars]
deepgram_release=release-260812
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """This machine as a server: server(name, **files) -> its journal's directory. `server.before`: what a login says first."""

    class Server:
        before = ""

        def __call__(self, name: str = "bl1", **files: str) -> Path:
            folder = tmp_path / f"journal of {name}"
            folder.mkdir(exist_ok=True)
            for file, text in files.items():
                (folder / file).write_text(text)
            return folder

    made = Server()

    class Here(ssh.Route):
        def command(self, words: list[str]) -> list[str]:
            return ["sh", "-c", f"{made.before}{shlex.join(words)}"]

    monkeypatch.setattr(ssh, "route", lambda *_, **__: (Here("here"), {}))
    return made


def host(folder: Path, name: str = "bl1") -> Host:
    return Host(name, name, ["billing"], {journals.DIRECTORY: str(folder)})


def fetched(folder: Path, at: Path, name: str = "bl1"):
    return journals.fetch([host(folder, name)], at)[name]


def texts(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {
            member.name.removeprefix("./"): archive.extractfile(member).read() for member in archive if member.isfile()
        }


def test_a_journal_arrives_whole_and_stays_where_it_was(server, tmp_path) -> None:
    folder = server(journal="began\nused 5 s\n", older="x" * 100_000)
    found = fetched(folder, tmp_path / "journals")
    assert (found.files, found.bytes) == (2, 100_015)
    assert found.path.name.startswith("bl1-2") and found.path.name.endswith("Z.tar.gz")
    assert texts(found.path) == {"journal": b"began\nused 5 s\n", "older": b"x" * 100_000}
    assert {path.name for path in folder.iterdir()} == {"journal", "older"}
    assert [path.name for path in (tmp_path / "journals").iterdir()] == [found.path.name]
    assert found.path.stat().st_mode & 0o077 == 0 == (tmp_path / "journals").stat().st_mode & 0o077


def test_no_archive_takes_the_place_of_another(server, tmp_path, monkeypatch) -> None:
    folder = server(journal="one\n")

    class Still(journals.datetime):
        @classmethod
        def now(cls, zone):
            return cls(2026, 11, 30, 18, 0, 0, tzinfo=zone)

    monkeypatch.setattr(journals, "datetime", Still)
    first = fetched(folder, tmp_path / "journals")
    server(journal="two\n")
    second = fetched(folder, tmp_path / "journals")
    assert first.path.name == "bl1-20261130T180000Z.tar.gz" and second.path.name == "bl1-20261130T180000Z-2.tar.gz"
    assert texts(first.path) == {"journal": b"one\n"} and texts(second.path) == {"journal": b"two\n"}


def test_what_a_login_says_first_is_no_part_of_it(server, tmp_path) -> None:
    server.before = "echo Welcome; echo '  authorized use only'; "
    assert texts(fetched(server(journal="a\n"), tmp_path / "journals").path) == {"journal": b"a\n"}


def test_a_journal_that_grows_meanwhile_is_fetched(server, tmp_path) -> None:
    folder, done = server(journal="a\n" * 500_000), threading.Event()

    def grow() -> None:
        with (folder / "journal").open("a") as stream:
            while not done.is_set():
                stream.write("a\n" * 1000)
                stream.flush()

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        found = fetched(folder, tmp_path / "journals")
    finally:
        done.set()
        thread.join()
    assert set(texts(found.path)["journal"].split()) <= {b"a"} and found.bytes >= 1_000_000


@pytest.mark.parametrize(
    ("files", "before", "what"),
    [
        ({}, "", "there is no journal"),
        ({"journal": ""}, "", "there is no journal"),
        (None, "", "its journal cannot be read"),
        ({"journal": "a\n"}, "exit 3; ", "its journal cannot be read"),
        ({"journal": "a\n"}, "printf 'dgctl journal\\n'; head -c 20 /dev/zero; exit 0; ", "did not arrive whole"),
        ({"journal": "a\n"}, "printf 'dgctl journal\\n'; exit 2; ", "cannot be read whole"),
    ],
)
def test_what_is_not_whole_is_not_kept(server, tmp_path, files, before, what) -> None:
    folder, server.before = tmp_path / "missing" if files is None else server(**files), before
    found = fetched(folder, tmp_path / "journals")
    assert isinstance(found, Problem) and what in found.what and found.where == "bl1" and found.fix
    assert list((tmp_path / "journals").iterdir()) == []


def test_an_archive_that_breaks_off_is_not_kept(server, tmp_path) -> None:
    folder = server(journal="".join(str(number) for number in range(100_000)))
    archive = subprocess.run(["tar", "-C", folder, "-cz", "."], capture_output=True, check=True).stdout
    (tmp_path / "half").write_bytes(archive[: len(archive) // 2])
    server.before = f"printf 'dgctl journal\\n'; cat {shlex.quote(str(tmp_path / 'half'))}; exit 0; "
    found = fetched(folder, tmp_path / "journals")
    assert "did not arrive whole" in found.what and list((tmp_path / "journals").iterdir()) == []


def test_a_full_disk_here_is_said(server, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journals.os, "fsync", full)
    found = fetched(server(journal="a\n"), tmp_path / "journals")
    assert "No space left" in found.what and "room" in found.fix and list((tmp_path / "journals").iterdir()) == []


def run(capsys: pytest.CaptureFixture[str], **options: object) -> tuple[int, dict]:
    code = main(called("journal", Path("inventory.ini"), as_json=True, **options), journal.journal)
    return code, json.loads(capsys.readouterr().out)


def gap(bl1: Path, bl2: Path) -> None:
    Path("inventory.ini").write_text(
        INVENTORY.replace("192.0.2.20", f'192.0.2.20 billing_journal_dir="{bl1}"').replace(
            "192.0.2.21", f'192.0.2.21 billing_journal_dir="{bl2}"'
        )
    )
    write(Path("license.dg"), "{}\n", 0o600)  # noqa: F405
    write(Path("group_vars/all/vault.yml"), "deepgram_license_key: key-of-the-licence\n", 0o600)  # noqa: F405
    with Path("group_vars/all/main.yml").open("a") as file:
        file.write('billing_license_file: "{{ inventory_dir }}/license.dg"\n')


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two directories whose names validation takes for those of a server."""
    found = tmp_path / "one", tmp_path / "two"
    for folder in found:
        folder.mkdir()
    return found


def test_every_server_with_billing_is_asked_and_told(capsys, server, folders) -> None:
    gap(*folders)
    (folders[0] / "journal").write_text("began\n")
    code, reported = run(capsys)
    assert code == 5 and list(reported["hosts"]) == ["bl1", "bl2"]
    (one,) = reported["journals"]
    assert Path(one["path"]).parent.name == "journals" and (one["host"], one["files"], one["bytes"]) == ("bl1", 1, 6)
    assert os.path.exists(one["path"]) and reported["hosts"]["bl2"]["state"] == "failed"
    (folders[1] / "journal").write_text("began\n")
    code, reported = run(capsys)
    assert code == 0 and [host["state"] for host in reported["hosts"].values()] == ["ok", "ok"]
    code, reported = run(capsys, limit="bl2")
    assert code == 0 and list(reported["hosts"]) == ["bl2"]
    assert "key-of-the-licence" not in json.dumps(reported)


def test_without_billing_it_says_so(capsys) -> None:
    code, reported = run(capsys)
    assert code == 2 and "[billing]" in reported["errors"][0]["what"]
