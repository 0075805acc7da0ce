"""The processes that make the load: one does not hold more than some hundred streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from dgctl.bench.job import STREAMS, Job
from dgctl.bench.window import Raw, Window, merged

STREAMS_EACH = 100  # more streams than that take another process
READY_S = 0.5  # from now until the first stream opens
PATIENCE_S = 700  # after a window: a file may take ten minutes


class Lost(Exception):
    """A process ended, or does not answer; the text holds its last words."""


class Workers:
    """At most one process a core."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def measure(self, job: Job) -> Window:
        """One window of this load, by as many processes as it takes."""
        desired = -(-job.load // STREAMS_EACH) if job.kind == STREAMS else 1
        count = max(1, min(os.cpu_count() or 1, desired))
        while len(self._running) < count:
            self._running.append(_started())
        parts = replace(job, begin=time.monotonic() + READY_S).shared(count)
        for process, part in zip(self._running, parts, strict=False):
            process.stdin.write(json.dumps(part.as_dict()) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
        raws = [_answer(process, parts[0].ends) for process, _part in zip(self._running, parts, strict=False)]
        return merged(job.load, job.window_s, raws)

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


@contextmanager
def workers() -> Iterator[Workers]:
    """Ended with the block, whatever happens in it."""
    found = Workers()
    try:
        yield found
    finally:
        found.end()


def _started() -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "dgctl.bench.worker"]
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        words,
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for dgctl, which ends them
    )


def _answer(process: subprocess.Popen[str], ends: float) -> Raw:
    """The line that the process answers with; Lost when none comes."""
    watch = threading.Timer(max(0.0, ends - time.monotonic()) + PATIENCE_S, process.kill)
    watch.start()
    try:
        line = process.stdout.readline()  # type: ignore[union-attr]
    finally:
        watch.cancel()
    if not line:
        raise Lost(f"a process that makes the load ended with {process.wait()}")
    reported = json.loads(line)
    return Raw(**{**reported, "latencies": [tuple(entry) for entry in reported["latencies"]]})
