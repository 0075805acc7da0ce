"""One window of load: what was measured in it, and whether that is good enough."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

PERCENT = 100
CAUSES = 20  # that one process remembers
SLICE_S, LEAST_IN_A_SLICE = 10, 20  # of a window, and the results below which a slice says nothing
LEAST_DIFFERENCE_S = 0.02  # between windows at the same load: less is nobody's trouble
TAIL = 2.5  # times the mean that the 95th percentile may take: as a second is beside 400 ms


def percentile(values: list[float], share: float) -> float | None:
    """The value below which this share of them lies; None for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


@dataclass(frozen=True)
class Bounds:
    """What a window may show. Times in seconds.

    Mean: developers.deepgram.com/docs/self-hosted-auto-scaling. P95: where Deepgram's dashboard turns yellow. Factor: times real
    time of files, in the mean. Lag: of this machine's own sends; above it a window says nothing of the server.
    """

    mean_s: float = 0.4
    p90_s: float = math.inf
    p95_s: float = 1.0
    p99_s: float = math.inf
    factor: float = 100.0
    words: float = 0.01  # share of the words that may be missing beside what was missing at the lowest load
    drift: float = 1.5  # times that the second half may take as long as the first
    lag_s: float = 0.02
    swing: float = 1.75  # times that a window's slowest slice may take as long as its fastest, while the load holds


# The figures of a window that are bounded, and how each is called; the gravest first.
_LATENCIES = {"mean_s": "in the mean", "p90_s": "at P90", "p95_s": "at P95", "p99_s": "at P99"}


def sla(stream_ms: Any, file_factor: Any) -> Bounds:
    """The bounds of a deployment with these deepgram_sla_*; the usual ones where it says nothing."""
    mean_s = float(stream_ms or 400) / 1000
    return Bounds(mean_s=mean_s, p95_s=max(Bounds.p95_s, TAIL * mean_s), factor=float(file_factor or Bounds.factor))


def speech(first_sound_ms: Any) -> Bounds:
    """Of the first byte of speech, by deepgram_sla_speech_ms; usually where Deepgram's alerts TTSLatencyHigh (P90) and
    TTSTailLatencyVeryHigh (P99) begin.
    """
    bound_s = float(first_sound_ms or 200) / 1000
    tail_s = TAIL * bound_s
    # No swing: texts queue, and come as they come.
    return Bounds(mean_s=bound_s, p90_s=bound_s, p95_s=tail_s, p99_s=tail_s, swing=math.inf)


SPEECH = speech(200)


@dataclass
class Raw:
    """What one process saw. `latencies`: (seconds since the window began, seconds); `factors`: of files."""

    latencies: list[tuple[float, float]] = field(default_factory=list)
    factors: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    opened: int = 0
    refused: int = 0
    broken: int = 0
    causes: list[str] = field(default_factory=list)
    words_reported: int = 0
    words_heard: int = 0
    cpu_s: float = 0.0
    busy_s: float = 0.0  # of all requests, each from when it was due to its last byte

    def fail(self, cause: str, refused: bool = False) -> None:
        """Counts what did not end well, and remembers why."""
        self.refused += refused
        self.broken += not refused
        if len(self.causes) < CAUSES:
            self.causes.append(cause[:200])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Window:
    """The figures of a window at `load` (streams at a time, else a minute). Times in seconds, shares from 0 to 1."""

    load: int
    seconds: float
    results: int = 0
    mean_s: float = 0.0
    p50_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    factor: float = 0.0
    drift: float = 1.0
    words: float = 1.0
    refused: int = 0
    broken: int = 0
    lag_p99_s: float = 0.0
    client_cores: float = 0.0
    causes: tuple[str, ...] = ()
    p90_s: float = 0.0
    at_once: float = 0.0  # requests under way, in the mean
    swing: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


def merged(load: int, seconds: float, raws: Iterable[Raw]) -> Window:
    """One window of what several processes saw."""
    parts = list(raws)
    latencies = [entry for raw in parts for entry in raw.latencies]
    times = [seconds_ for _, seconds_ in latencies]
    factors = [factor for raw in parts for factor in raw.factors]
    first = [took for at, took in latencies if at < seconds / 2]
    second = [took for at, took in latencies if at >= seconds / 2]
    reported, heard = sum(raw.words_reported for raw in parts), sum(raw.words_heard for raw in parts)
    causes = dict.fromkeys(cause for raw in parts for cause in raw.causes)
    return Window(
        load,
        seconds,
        len(times) or len(factors),
        _mean(times),
        percentile(times, 0.5) or 0.0,
        percentile(times, 0.95) or 0.0,
        percentile(times, 0.99) or 0.0,
        _mean(factors),
        _mean(second) / _mean(first) if first and second and _mean(first) > 0 else 1.0,
        heard / reported if reported else 1.0,
        sum(raw.refused for raw in parts),
        sum(raw.broken for raw in parts),
        max((percentile(raw.lags, 0.99) or 0.0 for raw in parts), default=0.0),
        sum(raw.cpu_s for raw in parts) / seconds,
        tuple(causes)[:5],
        percentile(times, 0.9) or 0.0,
        sum(raw.busy_s for raw in parts) / seconds,
        _swing(latencies, seconds),
    )


def _swing(latencies: list[tuple[float, float]], seconds: float) -> float:
    """Mean of the slowest slice of the window as a share of the fastest one's; 1 where slices have too few results to say."""
    slices: list[list[float]] = [[] for _ in range(max(1, int(seconds / SLICE_S)))]
    for at, took in latencies:
        slices[min(len(slices) - 1, int(at / seconds * len(slices)))].append(took)
    means = [_mean(one) for one in slices]
    if min(len(one) for one in slices) < LEAST_IN_A_SLICE or min(means) <= 0:
        return 1.0
    return max(means) / min(means)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def void(window: Window, bounds: Bounds) -> str:
    """Why the window says nothing of the server; "" where it does."""
    if window.lag_p99_s > bounds.lag_s:
        return f"this machine sent late: {window.lag_p99_s * 1000:.0f} ms (P99; at most {bounds.lag_s * 1000:.0f})"
    return ""


def unsteady(window: Window, bounds: Bounds) -> str:
    """Why a window in which the load held is of no one state of the server; "" where it is."""
    held = not (window.refused or window.broken or window.factor) and window.mean_s <= bounds.mean_s
    if held and window.swing > bounds.swing:
        return f"{window.swing:.1f} times as long in one slice of {SLICE_S} s as in another, at the same load"
    return ""


def differ(first: Window, later: Window) -> bool:
    """Whether two windows at the same load differ by more than chance: the fewer results they have, the more chance there is."""
    if not (first.results and later.results and first.mean_s > 0 and later.mean_s > 0):
        return False
    chance = 2 * math.sqrt(1 / first.results + 1 / later.results)
    ratio = max(first.mean_s, later.mean_s) / min(first.mean_s, later.mean_s)
    return ratio > 1.3 + chance and abs(first.mean_s - later.mean_s) > LEAST_DIFFERENCE_S


def fault(window: Window, bounds: Bounds, words_at_best: float = 1.0) -> str:
    """Why the server does not hold this load; "" where it does. The gravest first."""
    if window.refused:
        return f"{window.refused} refused"
    if window.broken:
        return f"{window.broken} broken"
    if not window.results:
        return "no results"
    if window.factor:
        return f"{window.factor:.0f} times real time" if window.factor < bounds.factor else ""
    if window.words < words_at_best - bounds.words:
        return f"{(words_at_best - window.words) * PERCENT:.0f} % of the words missing"
    for name, called in _LATENCIES.items():
        if getattr(window, name) > getattr(bounds, name):
            return f"{getattr(window, name) * 1000:.0f} ms {called}"
    if window.drift > bounds.drift and window.mean_s > bounds.mean_s / 2:
        return f"it becomes slower: the second half takes {window.drift:.1f} times as long"
    return ""


def is_clear(window: Window, bounds: Bounds) -> bool:
    """Whether one window is enough: it is far from the bound, on either side."""
    if window.refused or window.broken or not window.results:
        return True
    share = max(window.mean_s / bounds.mean_s, window.p90_s / bounds.p90_s)
    share = bounds.factor / window.factor if window.factor else share
    # One slow answer makes the P99 of a short window: by it alone nothing is clear.
    return share > 1.25 or max(share, window.p99_s / bounds.p99_s) < 0.8
