"""The processes that a measured command started, masters of SSH connections that outlive it too."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36
_SYS_KCMP, _KCMP_VM = 312, 1  # x86-64


@contextlib.contextmanager
def adopting() -> Iterator[None]:
    """Orphans become children of this process instead of init's, so that none escapes the account."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def descendants(root: int | None = None) -> list[int]:
    """Pids below `root` (this process). From `children` files: reading all of /proc would disturb what is measured."""
    found, edge = [], [root or os.getpid()]
    while edge:
        parent = edge.pop()
        below: list[int] = []
        for task in _tasks(parent):
            with contextlib.suppress(OSError):
                below += map(int, (_PROC / str(parent) / "task" / task / "children").read_text().split())
        found += below
        edge += below
    return found


def _tasks(pid: int) -> list[str]:
    try:
        return os.listdir(_PROC / str(pid) / "task")
    except OSError:  # it ended meanwhile
        return []


def cpu_seconds() -> float:
    """User and system seconds of everything below this process: what has ended, and what still lives."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + sum(_living(pid) for pid in descendants())


def _living(pid: int) -> float:
    """A living process's own time (in nanoseconds where the kernel has it) and that of its reaped children."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        own, reaped = (int(fields[11]) + int(fields[12])) / _TICK, (int(fields[13]) + int(fields[14])) / _TICK
        with contextlib.suppress(OSError, ValueError):
            precise = int((_PROC / str(pid) / "schedstat").read_text().split()[0]) / 1e9
            own = max(own, precise)  # a zombie's is 0
        return own + reaped
    except OSError:
        return 0.0


def memory_bytes(pids: list[int]) -> tuple[int, int]:
    """(Pss, Rss) of these processes. Pss counts a page that several share once; Rss once for each of them."""
    pss = rss = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            if same_memory(pid, _parent(pid)):
                continue
            one, other = memory_of((_PROC / str(pid) / "smaps_rollup").read_text())
            pss, rss = pss + one, rss + other
    return pss, rss


def same_memory(pid: int, other: int) -> bool:
    """Whether two are one address space: a child of vfork() before its exec(), whose memory is all its parent's."""
    return ctypes.CDLL(None).syscall(_SYS_KCMP, pid, other, _KCMP_VM, 0, 0) == 0


def _parent(pid: int) -> int:
    return int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])


def memory_of(rollup: str) -> tuple[int, int]:
    """(Pss, Rss) in bytes, from the text of a smaps_rollup; nothing for a process that has ended."""
    fields = {words[0]: words[1] for line in rollup.splitlines() if len(words := line.split()) == 3}
    return int(fields.get("Pss:", 0)) * 1024, int(fields.get("Rss:", 0)) * 1024


def masters() -> list[int]:
    """Masters of kept SSH connections below this process."""
    found = []
    for pid in descendants():
        with contextlib.suppress(OSError):
            if b"[mux]" in (_PROC / str(pid) / "cmdline").read_bytes():
                found.append(pid)
    return found


def cool(timeout_s: float = 10) -> None:
    """Ends every kept SSH connection, so that the next command finds none."""
    for pid in masters():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + timeout_s
    while masters():
        if time.monotonic() > until:
            raise TimeoutError("the masters of SSH connections do not end")
        time.sleep(0.05)
    reap()


def reap() -> None:
    """Takes note of orphans that have ended. Only between commands: it would take their exit codes too."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
