"""What the tests say to one mutation, made in a copy of the tree.

The tests run in a fork that has everything imported which is not the tree's own. One that fails is run alone without
the mutation before it counts: it may fail for a reason of its own (a busy machine, another order).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutation.candidates import Mutation
from tests.mutation.tree import OPTIONS

LIMIT_S, CPU_S = 300, 90  # a mutant that runs longer hangs: noticed
HANGS = -1
OUT = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_MOMENTS = itertools.count(1_000_000_000)


def judged(mutation: Mutation, tests: list[str], place: Path) -> tuple[str, str]:
    """("killed", "hung", "survived" or "no test", the first test that failed; nothing where none could start)."""
    tests = list(tests)
    while tests:
        with _mutated(mutation, place):
            status, reported = _tested(tests, place)
        if status == 0:
            return "survived", ""
        if status == HANGS:
            return "hung", ""
        failed = _failed(reported)
        if _tested([failed] if failed else tests, place)[0] == 0:
            return "killed", failed
        tests.remove(failed if failed in tests else tests[0])
    return "no test", ""


def _failed(reported: str) -> str:
    """The name of the test that failed; nothing where pytest did not come so far."""
    lines = (line.split(" - ")[0] for line in reported.splitlines() if line.startswith(("FAILED ", "ERROR ")))
    return next((line.partition(" ")[2] for line in lines if "::" in line), "")


@contextlib.contextmanager
def _mutated(mutation: Mutation, place: Path) -> Iterator[None]:
    path = place / mutation.file
    source, status = path.read_bytes(), path.stat()
    path.write_bytes(mutation.applied(source))
    moment = next(_MOMENTS)
    os.utime(path, (moment, moment))  # what is compiled is told apart by the second of its source
    try:
        yield
    finally:
        path.write_bytes(source)
        os.utime(path, (status.st_atime, status.st_mtime))


def _tested(tests: list[str], place: Path) -> tuple[int, str]:
    """(pytest's exit status, or HANGS; what it printed)."""
    output = place / ".output"
    child = os.fork()
    if child == 0:
        _in_the_child(tests, output)
    end = time.monotonic() + LIMIT_S
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # also what a test has left running
    if done == (0, 0):
        os.waitpid(child, 0)
        return HANGS, ""
    status = os.waitstatus_to_exitcode(done[1])
    return (HANGS if status == -signal.SIGXCPU else status), output.read_text(errors="replace")


def _in_the_child(tests: list[str], output: Path) -> None:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))  # at the first SIGXCPU, at the second SIGKILL
    opened = (os.open(os.devnull, os.O_RDONLY), os.open(output, OUT), os.open(output, OUT))
    for number, file in enumerate(opened):
        os.dup2(file, number)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
    os._exit(int(pytest.main([*OPTIONS, "-x", "-p", "no:xdist", "--tb=no", "--disable-warnings", *tests])))
