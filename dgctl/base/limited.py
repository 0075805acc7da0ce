"""A command whose output another machine makes: it ends in time, and what it says has an end too."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from typing import IO

LIMIT = 64 << 20  # bytes of stdout and of stderr: a look at a server with everything on it is below 1 MiB
TOO_MUCH = 125
_PART = 1 << 16


def run(
    words: list[str], text: bytes, timeout_s: float, environment: dict[str, str], limit: int = LIMIT
) -> subprocess.CompletedProcess[bytes]:
    """As subprocess.run with its output captured, of which more than `limit` bytes end it with the status TOO_MUCH.

    Raises subprocess.TimeoutExpired, and OSError where the program cannot be started.
    """
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert process.stdin and process.stdout and process.stderr
    out, err = bytearray(), bytearray()
    threads = [
        threading.Thread(target=_give, args=(process.stdin, text), daemon=True),
        threading.Thread(target=_take, args=(process, process.stdout, out, limit), daemon=True),
        threading.Thread(target=_take, args=(process, process.stderr, err, limit), daemon=True),
    ]
    until = time.monotonic() + timeout_s
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        process.wait(max(0.0, until - time.monotonic()))
    except BaseException:
        process.kill()
        process.wait()
        raise
    if len(out) > limit or len(err) > limit:
        reported = f"more than {limit >> 20} MiB of output: that is no answer".encode()
        return subprocess.CompletedProcess(words, TOO_MUCH, b"", reported)
    return subprocess.CompletedProcess(words, process.returncode, bytes(out), bytes(err))


def _give(stream: IO[bytes], text: bytes) -> None:
    with contextlib.suppress(OSError):  # it ended before it had read all
        stream.write(text)
    with contextlib.suppress(OSError):
        stream.close()


def _take(process: subprocess.Popen[bytes], stream: IO[bytes], found: bytearray, limit: int) -> None:
    with stream:
        while part := stream.read1(_PART):  # type: ignore[attr-defined]
            found += part
            if len(found) > limit:
                process.kill()
                return
