"""The three streams of a process, whatever a caller did to them: closed, full, or read by nobody any more."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import Any


class Lasting:
    """A stream whose first failed write is its last: what follows goes to /dev/null, and the run goes on.

    `error`: why a write failed, or None. A reader that left (`| head`) is no error.
    """

    def __init__(self, stream: Any):
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def reconfigure(self, **options: Any) -> None:
        """Ansible would have a warning printed for each character that is no UTF-8."""

    def write(self, text: str) -> int:
        with self._lost():
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._lost():
            self._stream.flush()

    @contextlib.contextmanager
    def _lost(self) -> Any:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):  # EIO: the terminal was closed
                self.error = error
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)


def last() -> None:
    """Makes the process's own streams such; those that somebody else put in their place stay as they are."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not getattr(sys, f"__{name}__"):
            continue
        if getattr(sys, name) is None:  # closed by the caller
            stream = io.FileIO(_null(number), "w" if number else "r", closefd=False)
            buffered = io.BufferedWriter(stream) if number else io.BufferedReader(stream)
            setattr(sys, name, io.TextIOWrapper(buffered, encoding="utf-8"))
        if number:
            stream = getattr(sys, name)
            stream.reconfigure(errors="backslashreplace")  # a file's name may be no text
            setattr(sys, name, Lasting(stream))


def _null(number: int) -> int:
    """/dev/null as the descriptor `number`, which was closed, or given since to a file that was opened."""
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)
    return number


def failure() -> OSError | None:
    """Why the result on stdout could not be written, or None."""
    return getattr(sys.stdout, "error", None)
