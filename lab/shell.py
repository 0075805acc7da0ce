"""Running programs, speaking to the person at the terminal, and the lab's one kind of error."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


class LabError(Exception):
    """Something the person must know or do; `fix` says what to do."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.fix = fix


def say(text: str) -> None:
    """One line of progress, on stderr: stdout is for results."""
    print(text, file=sys.stderr, flush=True)


def run(*command: str, stdin: str | bytes | None = None, cwd: Path | None = None) -> str:
    """Runs a command and returns its stdout; LabError with its last lines when it fails."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(command, input=data, capture_output=True, cwd=cwd)
    if done.returncode:
        tail = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-15:]
        raise LabError(f"`{' '.join(command)[:200]}` ended with {done.returncode}:\n  " + "\n  ".join(tail))
    return done.stdout.decode(errors="replace")


def succeeds(*command: str) -> bool:
    """Whether a command exits with 0; its output is dropped."""
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def wait_for(what: str, ready: Callable[[], bool], timeout_s: float, fix: str = "") -> None:
    """Polls `ready` until it is true; LabError naming `what` after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise LabError(f"{what} did not happen within {timeout_s:.0f} s", fix)
        time.sleep(0.3)
