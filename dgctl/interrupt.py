"""Ctrl-C and SIGTERM: Ansible is asked to stop, then made to; no child outlives the run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from types import FrameType, TracebackType

GRACE_S = 10


class Interrupt:
    """The first SIGINT or SIGTERM asks Ansible to stop; a second, or GRACE_S seconds, kills it."""

    def __init__(self) -> None:
        self.asked = False
        self._since = 0.0
        self._again = False
        self._children: set[int] = set()
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self._again = True
            return
        self.asked, self._since = True, time.monotonic()
        self._children = descendants(os.getpid())
        for pid in _of_parent(os.getpid()):
            _signal(pid, signal.SIGINT)

    def cancel(self) -> bool:
        """ansible-runner asks this every second: True kills Ansible's process group."""
        return self.asked and (self._again or time.monotonic() - self._since > GRACE_S)

    def end_children(self) -> None:
        """Ends what an interrupted Ansible left: its workers are in sessions of their own."""
        for pid in self._children & descendants(os.getpid(), also=self._children) if self.asked else ():
            _signal(pid, signal.SIGTERM)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _parents() -> dict[int, int]:
    """pid -> parent's pid of every process: from /proc, or from `ps` where there is none (macOS)."""
    if not Path("/proc/self/stat").exists():
        listing = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
        ).stdout
        return {int(pid): int(parent) for pid, parent in (line.split() for line in listing.splitlines())}
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    return found


def _of_parent(parent: int) -> list[int]:
    return [pid for pid, its in _parents().items() if its == parent]


def descendants(root: int, also: set[int] = frozenset()) -> set[int]:
    """Processes below `root`, and of `also` those that still run."""
    parents = _parents()
    found, edge = also & set(parents), {root}
    while edge:
        edge = {pid for pid, parent in parents.items() if parent in edge} - found
        found |= edge
    return found
