"""Processes of this machine: children of a run, and what a killed run left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

MARK = "DGCTL_DEPLOYMENT"  # in the environment of a run's Ansible: the folder that it works on
_PROC = Path("/proc")
_WAIT_S = 10


def parents() -> dict[int, int]:
    """pid -> parent's pid of every live process: from /proc, or from `ps` where there is none (macOS)."""
    if not (_PROC / "self" / "stat").exists():
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        return {int(pid): int(parent) for pid, parent in (line.split() for line in listing.splitlines())}
    found = {}
    for path in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":  # a zombie is over, and only waits to be counted
                found[int(path.parent.name)] = int(parent)
    return found


def children(parent: int) -> list[int]:
    return [pid for pid, its in parents().items() if its == parent]


def descendants(root: int) -> set[int]:
    """All processes below `root`."""
    found: set[int] = set()
    known, edge = parents(), {root}
    while edge:
        edge = {pid for pid, parent in known.items() if parent in edge} - found
        found |= edge
    return found


def send(pids: set[int] | list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def working_on(folder: Path) -> set[int]:
    """Processes that a run of dgctl on this deployment started; nothing where there is no /proc."""
    mark = f"{MARK}={folder}".encode()
    found = set()
    for path in _PROC.glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                found.add(int(path.parent.name))
    return found - {os.getpid()}


def end(find: Callable[[], set[int]]) -> None:
    """Asks the processes that `find` finds to end, waits until they have, and kills those that do not."""
    until = time.monotonic() + _WAIT_S
    while (left := find()) and time.monotonic() < until:
        send(left, signal.SIGTERM)
        time.sleep(0.1)
    send(find(), signal.SIGKILL)


def end_leftovers(folder: Path) -> None:
    """Ends what a killed run left working on this deployment; the caller holds its lock."""
    end(lambda: working_on(folder))
