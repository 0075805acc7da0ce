"""Commands whose output another machine makes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from dgctl.base import limited

ENVIRONMENT = dict(os.environ)


def python(
    code: str, text: bytes = b"", timeout_s: float = 20, limit: int = 1 << 20
) -> subprocess.CompletedProcess[bytes]:
    return limited.run([sys.executable, "-c", code], text, timeout_s, ENVIRONMENT, limit)


def test_what_it_is_given_and_says() -> None:
    code = "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.stderr.write('e'); sys.exit(3)"
    done = python(code, b"abc")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"ABC", b"e")


def test_much_both_ways_at_once_is_no_deadlock() -> None:
    code = "import sys; sys.stderr.write('x' * 900000); d = sys.stdin.buffer.read(); sys.stdout.buffer.write(d)"
    done = python(code, b"y" * 900_000)
    assert len(done.stdout) == len(done.stderr) == 900_000


def test_who_reads_nothing_is_no_error() -> None:
    assert python("pass", b"x" * 1_000_000).returncode == 0


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_endless_output_ends(stream: str) -> None:
    """A server that never stops would fill this machine's memory."""
    started = time.monotonic()
    done = python(f"import sys\nwhile True: sys.{stream}.write('x' * 65536)")
    assert done.returncode == limited.TOO_MUCH and b"more than 1 MiB" in done.stderr and time.monotonic() - started < 15


def test_a_silent_one_ends_in_time() -> None:
    started = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        python("import time; time.sleep(60)", timeout_s=0.5)
    assert time.monotonic() - started < 10


def test_no_such_program() -> None:
    with pytest.raises(FileNotFoundError):
        limited.run(["/nowhere/ssh"], b"", 1, ENVIRONMENT)
