"""Files that come when they come (Poisson), each with the same work: how long they take at a given load.

How an Engine shares its GPU among files is not published, so both plausible ways are played: so many files at a time while the
others wait (M/D/c), or all at a time, each slower once there are more than so many (processor sharing). Which of them a server is
like follows from the windows of its bench: each is played many times, with the files before it, and a way is plausible when
the means that were measured are ones that it gives. What fits no way gives no figures.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import log
from statistics import fmean, variance

from dgctl.bench.window import Window, percentile

QUEUE, SHARED = "queue", "shared"
MOST_LANES = 128
FINER = 1.1  # times the lanes that the next try has
ROOMIER = 3  # times what the highest load keeps busy: with more lanes nothing waits
LEAD_S = 15.0  # of a window: files come before it is measured (dgctl/bench/job.py)
RUNS = (8, 40)  # of a window at least and at most, by which a way is known, with about
RUN_FILES = 2000  # files in all of them
BLUR = 0.02  # of a time: what the network and the API's own work make of it
MISSES = 3.0  # of a window, in the mean of their squares: beyond it a way does not fit
NEAR = 4.0  # more than the best misfit, up to which a way is plausible too: the likelihood ratio of 95 %
SLOWER = 1.15  # times the lightest load that some window must have taken, or no queue was seen
FULLEST = 0.97  # of what a way can do at all, up to which its lasting times are given
FILES = 20_000  # of a sample for these
HALVINGS = 8  # of the loads among which a bound is searched


@dataclass(frozen=True)
class Model:
    """`work_s`: of a file on an idle server; `lanes`: files at a time; `kind`: what becomes of more."""

    kind: str
    lanes: int
    work_s: float

    @property
    def most(self) -> float:
        """Files a minute beyond which the queue grows without end."""
        return 60 * self.lanes / self.work_s


@dataclass(frozen=True)
class Times:
    """Seconds that files take, `late`: the share that takes longer than the bound; each (lowest, highest) of plausible models."""

    load: float
    mean_s: tuple[float, float]
    p95_s: tuple[float, float]
    p99_s: tuple[float, float]
    late: tuple[float, float]


def fit(windows: Iterable[Window]) -> list[Model]:
    """The ways that are plausible, the best first; none where no queue was seen, or none fits."""
    good = [one for one in windows if one.results and one.mean_s > 0 and not one.refused and not one.broken]
    if len({one.load for one in good}) < 3:
        return []
    lightest = min(good, key=lambda one: one.load)
    if max(one.mean_s for one in good) < SLOWER * lightest.mean_s:
        return []
    busy = max(one.load for one in good) / 60 * lightest.p50_s
    tried = [Model(kind, lanes, lightest.p50_s) for kind in (QUEUE, SHARED) for lanes in _lanes(busy)]
    judged = [(one, _misfit(one, good)) for one in tried]
    found = [(misfit, one) for one, (misfit, misses) in judged if misses <= MISSES]
    best = min((misfit for misfit, _ in found), default=0.0)
    return [one for misfit, one in sorted(found, key=lambda each: each[0]) if misfit <= best + NEAR]


def _lanes(busy: float) -> list[int]:
    """Numbers of lanes to try: up to those with which nothing waits at the highest load."""
    found, lanes = [], 1
    while lanes <= min(MOST_LANES, max(4, ROOMIER * busy)):
        found.append(lanes)
        lanes = max(lanes + 1, int(lanes * FINER))
    return found


def _misfit(model: Model, windows: list[Window]) -> tuple[float, float]:
    """(-2 log likelihood of what was measured, up to a constant; the mean square of the misses)."""
    misfit = misses = 0.0
    for one in sorted(windows, key=lambda each: -each.load):  # what does not fit is seen at the highest load
        seen = [log(fmean(run)) for run in _runs(model, one) if run]
        if len(seen) < 2 or misses > MISSES:
            return math.inf, math.inf
        spread = math.sqrt(variance(seen) + BLUR**2)
        miss = ((log(one.mean_s) - fmean(seen)) / spread) ** 2
        misfit += miss + 2 * log(spread)
        misses += miss / len(windows)
    return misfit, misses


def _runs(model: Model, window: Window) -> Iterator[list[float]]:
    """The times of the files of such a window, each run with other moments at which they come."""
    most_s = LEAD_S + window.seconds
    for seed in range(max(RUNS[0], min(RUNS[1], int(RUN_FILES * 60 / (window.load * most_s))))):
        chance, at, gaps, first = random.Random(seed), 0.0, [], 0
        while (gap := chance.expovariate(window.load / 60)) + at < most_s:
            at += gap
            gaps.append(gap)
            first += at < LEAD_S
        yield _took(model, gaps)[first:]


def times(models: list[Model], load: float, bound_s: float) -> Times | None:
    """What files take at a load by the extremes of these models; None where one of them cannot do it."""
    if not models or load <= 0 or any(load > FULLEST * one.most for one in models):
        return None
    taken = [sampled(one, load) for one in _extremes(models)]
    return Times(
        load,
        _range([sum(one) / len(one) for one in taken]),
        _range([percentile(one, 0.95) or 0.0 for one in taken]),
        _range([percentile(one, 0.99) or 0.0 for one in taken]),
        _range([sum(each > bound_s for each in one) / len(one) for one in taken]),
    )


def lasting(models: list[Model], bound_s: float) -> float | None:
    """Files a minute up to which the mean stays within the bound however long it lasts, by the slowest of these models.

    A bench may find more: its windows are short, and the queue of a long hour is not in them. None where no model is given.
    """
    return min((_lasting(one, bound_s) for one in _extremes(models)), default=None) if models else None


def _lasting(model: Model, bound_s: float) -> float:
    low, high = 0.0, FULLEST * model.most
    for _ in range(HALVINGS):
        load = (low + high) / 2
        if fmean(sampled(model, load, FILES // 4)) <= bound_s:
            low = load
        else:
            high = load
    return low


def _extremes(models: list[Model]) -> list[Model]:
    """Both ways with the fewest and the most lanes that are plausible: a bench of minutes hardly tells one way from the other."""
    lanes = {min(one.lanes for one in models), max(one.lanes for one in models)}
    return [replace(models[0], kind=kind, lanes=count) for kind in (QUEUE, SHARED) for count in sorted(lanes)]


def sampled(model: Model, load: float, files: int = FILES, seed: int = 1) -> list[float]:
    """Seconds that each of so many files takes; the first tenth, before which nothing was busy, is left out."""
    chance = random.Random(seed)
    return _took(model, [chance.expovariate(load / 60) for _ in range(files)])[files // 10 :]


def _took(model: Model, gaps: list[float]) -> list[float]:
    """The times of files that come after these gaps, in their order."""
    return (_queued if model.kind == QUEUE else _shared)(gaps, model.work_s, model.lanes)


def _queued(gaps: list[float], work_s: float, lanes: int) -> list[float]:
    """Each file takes the lane that is free first."""
    free, now, took = [0.0] * lanes, 0.0, []
    for gap in gaps:
        now += gap
        ends = max(now, free[0]) + work_s
        heapq.heapreplace(free, ends)
        took.append(ends - now)
    return took


def _shared(gaps: list[float], work_s: float, lanes: int) -> list[float]:
    """All files at a time, at the same speed: so the first that came is the first that is done.

    `done`: the work that a file got which was there from the beginning.
    """
    here: deque[tuple[float, float]] = deque()  # (`done` at which it is ready, when it came)
    now = done = 0.0
    took = []
    for gap in [*gaps, math.inf]:
        left = gap
        while here:
            speed = min(1.0, lanes / len(here))
            needs = (here[0][0] - done) / speed
            if needs > left:
                done += left * speed
                break
            done, now, left = here[0][0], now + needs, left - needs
            took.append(now - here.popleft()[1])
        if gap < math.inf:
            now += left
            here.append((done + work_s, now))
    return took


def _range(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)
