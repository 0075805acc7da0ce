"""Fetches the usage journal of a server with Billing: its whole directory as one archive, over SSH.

Nothing is written on the server, so that a full disk there is no obstacle. Here an archive gets its name when it is
whole and on the disk, and takes no other's. A journal grows while it is read: what was added since is in the next archive.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from dgctl import content
from dgctl.base import given, scratch, ssh, unreachable
from dgctl.base.errors import Problem
from dgctl.deployment.deployment import Host

FOLDER = "journals"  # beside the inventory
DIRECTORY = "billing_journal_dir"
MARK = b"dgctl journal\n"  # before it a login's own words may stand
LIMIT_S = 600
WHOLE = (0, 1)  # GNU tar: 1 says that a file grew while it was read
_TAR = "cd {} && printf 'dgctl journal\\n' && exec tar --create --gzip --file=- ."


@dataclass(frozen=True)
class Journal:
    """An archive that was fetched: where it lies, and how much is in it."""

    path: Path
    files: int
    bytes: int


def fetch(hosts: list[Host], folder: Path) -> dict[str, Journal | Problem]:
    """Each server's journal, all at the same time, into `folder`; or why there is none.

    Raises DgctlError (exit 2) where the folder cannot be made.
    """
    with given.refused("journals cannot be put there", folder, "move what is in the way, or see who may write there"):
        folder.mkdir(mode=0o700, exist_ok=True)
    config = content.root() / "ansible.cfg"
    ways = {host.name: ssh.route(host.vars, host.address, config) for host in hosts}
    found: dict[str, Journal | Problem] = {}
    with scratch.folder("journal") as private:
        askpass = ssh.write_askpass(private)

        def one(host: Host) -> None:
            found[host.name] = _fetched(host, *ways[host.name], askpass, folder)

        threads = [threading.Thread(target=one, args=(host,), daemon=True) for host in hosts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return {host.name: found[host.name] for host in hosts}


def _fetched(host: Host, way: ssh.Route, secrets: dict[str, str], askpass: str, folder: Path) -> Journal | Problem:
    if way.problem:
        return Problem(way.problem, host.name, fix="use ssh and sudo for this server")
    handle, name = tempfile.mkstemp(dir=folder, prefix=".new-")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as sink, tempfile.TemporaryFile() as errors:
            status, started = _received(host, way, secrets, askpass, sink, errors)
            errors.seek(0)
            if not started or status not in WHOLE:
                return _problem(host, way, status, errors.read(), started)
            sink.flush()
            os.fsync(sink.fileno())
        return _retained(host, part, folder)
    except OSError as error:
        fix = f"see that there is room, and that this user may write to {folder}; nothing was changed on the server"
        return Problem(f"the journal cannot be kept here: {error.strerror or error}", host.name, str(folder), fix)
    finally:
        part.unlink(missing_ok=True)


def _received(
    host: Host, way: ssh.Route, secrets: dict[str, str], askpass: str, sink: IO[bytes], errors: IO[bytes]
) -> tuple[int, bool]:
    """(exit status, whether the archive began); the archive goes into `sink` as it comes."""
    script = _TAR.format(shlex.quote(str(host.vars[DIRECTORY])))
    process = subprocess.Popen(
        way.command(["sh", "-c", script]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=ssh.environment(secrets, askpass),
    )
    assert process.stdin and process.stdout
    with _limited(process.kill):
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{secrets['become']}\n".encode() if "become" in secrets else b"")
            process.stdin.close()
        started = any(line == MARK for line in iter(process.stdout.readline, b""))
        shutil.copyfileobj(process.stdout, sink)
        return process.wait(), started


@contextlib.contextmanager
def _limited(end: Callable[[], None]) -> Iterator[None]:
    timer = threading.Timer(LIMIT_S, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _retained(host: Host, part: Path, folder: Path) -> Journal | Problem:
    """Gives a whole archive its name, one that no other has."""
    again = "run again; nothing was changed on the server"
    try:
        with tarfile.open(part, "r:gz") as archive:
            sizes = [member.size for member in archive if member.isfile()]
    except (tarfile.TarError, EOFError, OSError) as error:
        return Problem("the journal did not arrive whole", host.name, str(error), again)
    if not sum(sizes):
        fix = "on the server: docker logs deepgram-billing (Podman: journalctl -u deepgram-billing); dgctl provision"
        where = str(host.vars[DIRECTORY])
        return Problem("there is no journal: Billing has written nothing yet", host.name, where, fix)
    stem = f"{host.name.replace('/', '_')}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for number in range(1, 100):
        path = folder / (f"{stem}.tar.gz" if number == 1 else f"{stem}-{number}.tar.gz")
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
            _sync(folder)
            return Journal(path, len(sizes), sum(sizes))
    return Problem("its name is taken here", host.name, stem, again)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _problem(host: Host, way: ssh.Route, status: int, reported: bytes, started: bool) -> Problem:
    words = ssh.last_words(reported) or f"exit status {status}"
    if status < 0:
        what = f"the journal did not arrive within {LIMIT_S} s"
        return Problem(what, host.name, fix=f"try it by hand: {way.by_hand}" if way.by_hand else "run again")
    if status == 255 and way.login:
        what, fix = unreachable.cause(words, ssh.effective(way))
        return Problem(what, host.name, words, fix)
    directory = host.vars[DIRECTORY]
    if not started:
        fix = f"dgctl provision makes {directory}; or correct {DIRECTORY}"
        return Problem("its journal cannot be read", host.name, words, fix)
    return Problem(
        "its journal cannot be read whole", host.name, words, f"see {directory} on the server, then run again"
    )
