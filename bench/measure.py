"""Runs a command and says what it cost this machine."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import tree

SAMPLE_S = 0.2


class BenchError(Exception):
    """The benchmark cannot go on; the text says why."""


@dataclass
class Cost:
    """What one run of a command took; `lines`: each line of stderr with the second at which it came.

    `peak_mb` counts memory that processes share once, `peak_rss_mb` once for each process.
    `masters`: kept SSH connections below this process at the end; their memory is in the peak.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    peak_rss_mb: float
    exit_code: int
    stdout: str = ""
    stderr: str = ""
    lines: list[tuple[float, str]] = field(default_factory=list)
    masters: int = 0

    def numbers(self) -> dict[str, Any]:
        """Without the texts, for the JSON."""
        retained = asdict(self)
        return {key: round(retained[key], 4) for key in ("wall_s", "cpu_s", "peak_mb", "peak_rss_mb", "masters")}


def run(
    command: Sequence[str | Path],
    *,
    allowed: Sequence[int] = (0,),
    stdin: Path | None = None,
    environment: dict[str, str] | None = None,
    timeout_s: float = 7200,
) -> Cost:
    """Runs `command` to its end; BenchError when its exit code is none of `allowed`."""
    with tree.adopting(), tempfile.TemporaryFile("w+") as out, open(stdin or os.devnull, "rb") as source:
        before, started = tree.cpu_seconds(), time.monotonic()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=source,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            env=_own() | (environment or {}),
        )
        lines: list[tuple[float, str]] = []
        reader = threading.Thread(target=_read, args=(process.stderr, started, lines), daemon=True)
        reader.start()
        pss, rss = _watch(process, started, timeout_s)
        wall = time.monotonic() - started
        cpu = tree.cpu_seconds() - before
        reader.join(1)  # a kept SSH connection may hold stderr open
        out.seek(0)
        text = "".join(line for _, line in lines)
        cost = Cost(
            wall, cpu, pss / 2**20, rss / 2**20, process.returncode, out.read(), text, lines, len(tree.masters())
        )
    if cost.exit_code not in allowed:
        reported = (cost.stderr + cost.stdout)[-3000:]
        words = " ".join(str(word) for word in command)[:200]
        raise BenchError(f"{words} ended with {cost.exit_code}:\n{reported}")
    return cost


def _own() -> dict[str, str]:
    """This process's environment, in which Python keeps what it compiled, as it does where nobody forbids it."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _read(stream: Any, started: float, lines: list[tuple[float, str]]) -> None:
    for line in stream:
        lines.append((time.monotonic() - started, line))


def _watch(process: subprocess.Popen[str], started: float, timeout_s: float) -> tuple[int, int]:
    """Waits for the end; returns the largest Pss and Rss that were seen."""
    pss = rss = 0
    ended = os.pidfd_open(process.pid)  # Popen.wait() notices an end up to 50 ms late
    try:
        while True:
            seen = tree.memory_bytes(tree.descendants())
            pss, rss = max(pss, seen[0]), max(rss, seen[1])
            if select.select([ended], [], [], SAMPLE_S)[0]:
                process.wait()
                return pss, rss
            if time.monotonic() - started > timeout_s:
                process.kill()
                raise BenchError(f"{process.args} has not ended after {timeout_s} s")
    finally:
        os.close(ended)
