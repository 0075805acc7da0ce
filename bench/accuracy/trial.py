"""One bench of one server whose capacity is known: `python -m bench.accuracy.trial CURVE TROUBLE SEED`, JSON on stdout."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.accuracy import clock as clocks
from bench.accuracy.clock import Clock
from bench.accuracy.standins import MODEL, Standins, start
from dgctl.bench import streams
from dgctl.bench.job import STREAMS, Job, stream_query
from dgctl.bench.search import Plan, Search, TooSlow, Unsteady
from dgctl.bench.window import Bounds, Window, merged
from dgctl.bench.workers import READY_S
from dgctl.verify.tls import Proxy

WINDOW_S, SUSTAIN_S = 30.0, 120.0  # as `dgctl bench` has them


async def _none(_clock: Clock, _standins: Standins, _chance: random.Random) -> None:
    """Nothing is wrong."""


async def _stalled(clock: Clock, _standins: Standins, _chance: random.Random) -> None:
    """This machine stands still for 0.3 s, again and again."""
    while True:
        await asyncio.sleep(3)
        clock.now += 0.3


async def _neighbour(_clock: Clock, standins: Standins, chance: random.Random) -> None:
    """Something else has the GPU for a while, again and again."""
    while True:
        await asyncio.sleep(chance.uniform(10, 60))
        standins.curve.slowdown = 2.5
        await asyncio.sleep(chance.uniform(10, 60))
        standins.curve.slowdown = 1.0


async def _throttled(_clock: Clock, standins: Standins, chance: random.Random) -> None:
    """The GPU becomes slower for good, some time in the bench."""
    await asyncio.sleep(chance.uniform(60, 400))
    standins.curve.slowdown = 2.0


Trouble = Callable[[Clock, Standins, random.Random], Coroutine[Any, Any, None]]
TROUBLES: dict[str, Trouble] = {"none": _none, "stalled": _stalled, "neighbour": _neighbour, "throttled": _throttled}


def trial(curve: str, trouble: str, seed: int) -> dict[str, Any]:
    """What the bench says, and how long it took by its own clock."""
    clock, loop = clocks.start()
    with tempfile.TemporaryDirectory() as folder:
        standins = loop.run_until_complete(start(Path(folder), curve))
        beside = loop.create_task(TROUBLES[trouble](clock, standins, random.Random(seed)))
        began, windows = clock.now, []

        def probe(load: int, long: bool) -> Window:
            windows.append(load)
            job = replace(_job(standins.port, seed + len(windows)), load=load, begin=clock.now + READY_S)
            job = replace(job, window_s=SUSTAIN_S if long else WINDOW_S)
            return merged(load, job.window_s, [loop.run_until_complete(streams.measure(job))])

        found = _searched(probe)
        beside.cancel()
        about = {"curve": curve, "trouble": trouble, "seed": seed, "knows": standins.curve.capacity}
        return about | found | {"seconds": round(clock.now - began), "windows": windows}


def _searched(probe: Callable[[int, bool], Window]) -> dict[str, Any]:
    try:
        found = Search(probe, Bounds(), Plan()).run()
    except (TooSlow, Unsteady) as error:
        return {"holds": None, "says": str(error)}
    return {"holds": found.lower, "fails": found.upper, "sustained": found.sustained, "says": found.cause}


def _job(port: int, seed: int) -> Job:
    path, query = stream_query(MODEL, "en", False)
    return Job(STREAMS, Proxy("127.0.0.1", port, "localhost", plain=True), path, query, seed=seed)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(trial(sys.argv[1], sys.argv[2], int(sys.argv[3]))) + "\n")
    sys.stdout.flush()
