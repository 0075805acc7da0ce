"""`python -m dgctl.bench.worker`: does the jobs that come on stdin, a line of JSON each, and answers with what it saw."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time

from dgctl.bench import files, streams, tts
from dgctl.bench.job import FILES, STREAMS, TTS, Job

MEASURES = {STREAMS: streams.measure, FILES: files.measure, TTS: tts.measure}


def main() -> None:
    gc.freeze()  # a collection of what was imported would be a pause in every stream
    for line in sys.stdin:
        job = Job.read(json.loads(line))
        before, started = _cpu_s(), time.monotonic()
        raw = asyncio.run(MEASURES[job.kind](job))
        # Of the window: it is as busy before as in it.
        raw.cpu_s = round((_cpu_s() - before) * job.window_s / (time.monotonic() - started), 3)
        sys.stdout.write(json.dumps(raw.as_dict()) + "\n")
        sys.stdout.flush()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
