"""One server hands the archive to another: with the right certificate, token and digest, and not otherwise."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dgctl import content
from tests import utilities
from tests.ports import free_port
from tests.roles_app.conftest import load

utilities.use()
handover: Any = content.utility("containers.handover")
MODULE: Any = load("modules", "image_archive")
DATA = b"an archive " * 300_000
SHA256 = hashlib.sha256(DATA).hexdigest()
TOKEN = "t" * 40


class First:
    """The server that has it."""

    def __init__(self, folder: Path):
        self.file, self.keys, self.port = folder / "archive.tar", folder / "keys", free_port()
        self.file.write_bytes(DATA)
        self.certificate = handover.make_certificate(str(self.keys))
        self.thread = self.serve()

    def serve(self, port: int = 0) -> threading.Thread:
        arguments = (str(self.file), str(self.keys), TOKEN, 60, port or self.port)
        thread = threading.Thread(target=handover.serve, args=arguments, daemon=True)
        thread.start()
        handover.wait_for("127.0.0.1", self.certificate, TOKEN, 10, self.port)
        return thread


@pytest.fixture
def first(tmp_path: Path) -> Iterator[First]:
    made = First(tmp_path)
    yield made
    shutil.rmtree(made.keys, ignore_errors=True)
    made.thread.join(10)


@pytest.fixture
def fetch(first: First, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.setattr(handover.time, "sleep", lambda seconds, real=time.sleep: real(min(seconds, 0.1)))

    def go(certificate: str = "", token: str = TOKEN, sha256: str = SHA256) -> Path:
        file = tmp_path / "other" / "archive.tar"
        handover.fetch("127.0.0.1", certificate or first.certificate, token, str(file), sha256, first.port)
        return file

    return go


def test_it_arrives_whole_and_for_root_alone(fetch: Callable[..., Path]) -> None:
    file = fetch()
    assert file.read_bytes() == DATA and file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["archive.tar"]


def refused(fetch: Callable[..., Path], tmp_path: Path, **asked: str) -> str:
    with pytest.raises(handover.NotFetched) as error:
        fetch(**asked)
    assert list((tmp_path / "other").iterdir()) == [] and "--each" in error.value.fix
    return str(error.value)


def test_nobody_gets_it_without_the_token(fetch: Callable[..., Path], tmp_path: Path) -> None:
    assert "HTTP 404" in refused(fetch, tmp_path, token="x" * 40)


def test_another_server_is_not_believed(fetch: Callable[..., Path], tmp_path: Path) -> None:
    other = handover.make_certificate(str(tmp_path / "impostor"))
    assert "certificate" in refused(fetch, tmp_path, certificate=other)


def test_another_file_is_not_kept(fetch: Callable[..., Path], tmp_path: Path) -> None:
    assert "another file, or torn" in refused(fetch, tmp_path, sha256="0" * 64)


def test_it_ends_with_its_certificate(first: First, fetch: Callable[..., Path], tmp_path: Path) -> None:
    shutil.rmtree(first.keys)
    first.thread.join(10)
    assert not first.thread.is_alive()
    assert "refused" in refused(fetch, tmp_path)


def test_what_a_killed_run_left_there_gives_way(first: First, fetch: Callable[..., Path]) -> None:
    """The next run makes another certificate; the old server ends by that, and the new one waits for the port."""
    old = first.thread
    first.certificate = handover.make_certificate(str(first.keys))
    first.thread = first.serve()
    old.join(10)
    assert not old.is_alive() and fetch().read_bytes() == DATA


def test_a_neighbour_that_says_nothing_holds_nobody_up(first: First, fetch: Callable[..., Path]) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", first.port)):
        assert fetch().exists()


def test_a_key_that_others_may_read_is_not_made(first: First) -> None:
    assert first.keys.stat().st_mode & 0o777 == 0o700
    assert (first.keys / "key").stat().st_mode & 0o077 == 0


def test_the_module_says_what_it_fetched_and_fetches_it_once(first: First, tmp_path: Path) -> None:
    file = tmp_path / "other" / "archive.tar"
    asked = {"path": str(file), "size": len(DATA), "sha256": SHA256, "address": "127.0.0.1", "port": first.port}
    asked |= {"certificate": first.certificate, "token": TOKEN}
    assert MODULE.fetched(asked, True) == {"changed": True} and not file.exists()
    assert MODULE.fetched(asked, False) == {"changed": True} and file.read_bytes() == DATA
    shutil.rmtree(first.keys)
    assert MODULE.fetched(asked, False) == {"changed": False}, "what is here is not asked for"


def test_the_module_waits_for_the_first_server_and_in_check_mode_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[Any] = []
    monkeypatch.setattr(MODULE.handover, "wait_for", lambda *words: waited.append(words))
    asked = {"path": str(tmp_path / "archive.tar"), "certificate": "c", "token": TOKEN, "port": 9813}
    assert MODULE.ready(asked, True) == {"changed": False} and waited == []
    assert MODULE.ready(asked, False) == {"changed": False} and waited == [("127.0.0.1", "c", TOKEN, 30, 9813)]
