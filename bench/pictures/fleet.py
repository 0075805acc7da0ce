"""Eight hours of a simulated fleet, as its Engines' metrics would have told them: OpenMetrics text for promtool.

Three servers whose latency follows a known curve (400 ms at 40 streams), a limit of 45 each, calls that come and go with the day,
and one server that is out in the busiest hour. No figure is of a real GPU.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from lab.deepgram.programs.inference.curve import Curve
from lab.deepgram.programs.inference.metrics import Metrics

START = 1_796_083_200  # 2026-12-01 00:00 UTC
HOURS, STEP_S = 8, 30
SERVERS, LIMIT, CAPACITY = ("gpu1", "gpu2", "gpu3"), 45, 40
OUT = ("gpu3", 4.5, 5.5)  # which, and from when to when in hours
LEAST_CALLS, MOST_CALLS = 24, 90  # at a time
RESULTS_A_STREAM, FILES = 12, 3  # in a step
FILE_S, FASTEST_S, SLOWEST_S = 300, 1.4, 3.3  # a file's length, and what it takes beside no stream and beside CAPACITY

END = START + HOURS * 3600


def openmetrics() -> str:
    """Every series at every step. One seed: the same text each time."""
    chance, engines = random.Random(1), {name: Metrics(LIMIT) for name in SERVERS}
    lines: list[str] = []
    for step in range(HOURS * 3600 // STEP_S + 1):
        at = step * STEP_S
        for name, streams in shares(at / 3600).items():
            _step(engines[name], streams, chance)
            lines += _labelled(engines[name].text(), name, START + at)
    return "\n".join([*lines, "# EOF", ""])


def shares(hour: float) -> dict[str, int]:
    """Streams of each server that serves in this hour: as many on each."""
    calls = round(LEAST_CALLS + (MOST_CALLS - LEAST_CALLS) * math.sin(math.pi * min(1, hour / HOURS)) ** 2)
    name, first, last = OUT
    serving = [one for one in SERVERS if one != name or not first <= hour < last]
    return {one: calls // len(serving) + (number < calls % len(serving)) for number, one in enumerate(serving)}


def mean_s(streams: int) -> float:
    return Curve(f"smooth {CAPACITY}").mean_s(streams)


def file_s(streams: int) -> float:
    return FASTEST_S + (SLOWEST_S - FASTEST_S) * (streams / CAPACITY) ** 2


def _step(metrics: Metrics, streams: int, chance: random.Random) -> None:
    while metrics.active["stream"] < streams:
        metrics.start("stream")
    while metrics.active["stream"] > streams:
        metrics.finish("stream", 200)
    for _ in range(streams * RESULTS_A_STREAM):
        metrics.observe("engine_stream_latency", mean_s(streams) * chance.lognormvariate(-0.045, 0.3))  # of mean 1
    for _ in range(FILES):
        metrics.observe_file(FILE_S, file_s(streams) * chance.gauss(1, 0.05))


def _labelled(text: str, name: str, at: int) -> Iterator[str]:
    """The samples alone: with the labels that a scrape gives them, and their time."""
    labels = f'instance="{name}",profile="stt",job="deepgram_engine"'
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        series, value = line.rsplit(" ", 1)
        metric, _, own = series.rstrip("}").partition("{")
        yield f"{metric}{{{labels}{',' + own if own else ''}}} {value} {at}"
