"""One run at a time in a deployment's folder: an flock beside the inventory, gone with its holder."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from dgctl.base import processes
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown


@contextmanager
def held(folder: Path, command: str) -> Iterator[None]:
    """Holds `folder`/lock; raises DgctlError (exit 9) naming the holder when another run has it."""
    path = folder / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DgctlError(_busy(path, file.read()), Exit.LOCKED) from None
        if file.read():  # the last holder was killed before it could sign off
            processes.end_leftovers(folder)
        _sign(file, command)
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()


def holder() -> dict[str, str]:
    """Who this run is, for others to read."""
    return {
        "pid": str(os.getpid()),
        "host": socket.gethostname(),
        "user": getpass.getuser(),
        "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "command": this_command(),
    }


def reported(holder: Mapping[str, object]) -> str:
    """A holder in words."""
    return "pid {pid} of {user} on {host}, since {since}: {command}".format_map(
        {key: holder.get(key, "?") for key in ("pid", "user", "host", "since", "command")}
    )


def _sign(file: TextIO, command: str) -> None:
    file.seek(0)
    file.truncate()
    json.dump({**holder(), "command": command}, file)
    file.flush()


def _busy(path: Path, text: str) -> Problem:
    try:
        found = json.loads(text)
    except ValueError:  # it took the lock, and has not signed yet
        found = {}
    return Problem(
        "another run works on this deployment", shown(path), reported(found), "wait for it to end, or stop it"
    )


def this_command() -> str:
    """How this run was called; dgctl takes no secrets as arguments."""
    return " ".join(["dgctl", *sys.argv[1:]])
