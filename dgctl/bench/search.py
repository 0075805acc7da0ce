"""Finds the highest load that holds: double it until it does not, then halve the gap; what is close is asked again.

As AIPerf does (github:ai-dynamo/aiperf): exponential ramp, bisection with trials that agree, and a longer run at the boundary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dgctl.bench.window import Bounds, Window, differ, fault, is_clear, unsteady, void

TRIES = 3  # of a window that is void
VOTES = 3  # windows at most at a load that is close to the bound; two of them decide
STEPS_DOWN = 5  # when the boundary does not last


class TooSlow(Exception):
    """This machine is too slow for the load: nothing is known of the server."""


class Unsteady(Exception):
    """The server changed while it was measured: what was found is of no one state of it."""


@dataclass(frozen=True)
class Plan:
    """From where to where to search, and the `least` that is tried; `precision`: the share of the result that the gap may have.

    Half of the 5 % to which the result is to be right: the long run may have to take one step down.
    """

    start: int = 4
    most: int = 2000
    precision: float = 0.025
    least: int = 1


@dataclass
class Found:
    """`lower` holds and `upper` does not (None: nothing that was tried failed); 0 where not even the least does.

    `cause`: why `upper` does not hold. `cliff`: above the boundary it breaks at once; else it becomes slower by and by.
    `limited`: the server's own limit refused, so the GPU may hold more.
    """

    lower: int = 0
    upper: int | None = None
    cause: str = ""
    cliff: bool = False
    limited: bool = False
    sustained: bool = False
    windows: list[Window] = field(default_factory=list)


Probe = Callable[[int, bool], Window]  # (load, is it the long run) -> its window


class Search:
    """One search over `probe`."""

    def __init__(self, probe: Probe, bounds: Bounds, plan: Plan):
        self._probe, self._bounds, self._plan = probe, bounds, plan
        self.found = Found()
        self._words = 1.0

    def run(self) -> Found:
        self._ramp()
        self._bisect()
        searched, first = self.found.upper, list(self.found.windows)
        self._sustain()
        self._control(first)
        if self.found.upper == searched:
            self._confirm()
        self._describe()
        return self.found

    def _ramp(self) -> None:
        least, most = self._plan.least, self._plan.most
        load = min(max(self._plan.start, least), most)
        while True:
            holds = self._holds(load)
            if holds and load >= most:
                return
            if not holds and load <= least:
                return
            if not holds and not self.found.lower:
                load = max(least, load // 2)
                if load <= self.found.lower:
                    return
                continue
            if not holds or self.found.upper is not None:
                return
            load = min(most, load * 2)

    def _bisect(self) -> None:
        found = self.found
        while found.lower and found.upper is not None and found.upper - found.lower > self._gap(found.lower):
            self._holds((found.lower + found.upper) // 2)

    def _gap(self, load: int) -> int:
        return max(1, int(load * self._plan.precision))

    def _sustain(self) -> None:
        """The long run at the boundary; where it does not last, one below, by steps that double."""
        found = self.found
        for number in range(STEPS_DOWN):
            if not found.lower:
                return
            cause = self._fault(self._window(found.lower, True))
            if not cause:
                found.sustained = True
                return
            found.upper, found.cause = found.lower, cause
            found.lower = max(0, found.lower - self._gap(found.lower) * 2**number)

    def _control(self, searched: list[Window]) -> None:
        """Asks again what was asked before the boundary was known: where the answer differs, so does the server."""
        first = self._reference(searched)
        if not first:
            return
        later = self._window(first.load, False)
        if differ(first, later):
            before, after = (f"{window.mean_s * 1000:.0f} ms" for window in (first, later))
            raise Unsteady(f"{before} in the mean at {first.load} before, and {after} afterwards")

    def _confirm(self) -> None:
        """Asks once more where one window alone has said that a load does not hold: whatever was in its way may be over."""
        found = self.found
        at_upper = [window for window in found.windows if window.load == found.upper]
        if not found.lower or len(at_upper) != 1:
            return
        again = self._window(at_upper[0].load, False)
        if not self._fault(again) and is_clear(again, self._bounds):  # what is close to the bound may be chance
            raise Unsteady(f"{found.upper} does not hold ({found.cause}), and holds afterwards")

    def _reference(self, searched: list[Window]) -> Window | None:
        """The first window at half of what holds or less; where there is none, at the lowest load that held then."""
        good = [window for window in searched if not self._fault(window)]
        far = [window for window in good if window.load * 2 <= self.found.lower]
        if far:
            return max(far, key=lambda window: window.load)
        return min(good, key=lambda window: window.load, default=None)

    def _holds(self, load: int) -> bool:
        """Whether this load holds, by one window that is clear or two that agree; notes it."""
        votes: list[str] = []
        while True:
            window = self._window(load, False)
            votes.append(self._fault(window))
            bad = [cause for cause in votes if cause]
            if is_clear(window, self._bounds) and len(votes) == 1:
                break
            if len(bad) == 2 or len(votes) - len(bad) == 2 or len(votes) == VOTES:
                break
        holds = len(bad) * 2 < len(votes)
        if holds:
            self.found.lower = max(self.found.lower, load)
        elif self.found.upper is None or load < self.found.upper:
            self.found.upper, self.found.cause = load, bad[0]
        return holds

    def _window(self, load: int, long: bool) -> Window:
        for _ in range(TRIES):
            window = self._probe(load, long)
            why = void(window, self._bounds)
            changed = "" if why else unsteady(window, self._bounds)
            if changed and long:
                raise Unsteady(f"at {load}: {changed}")
            if not why and not changed:
                if not self.found.windows and window.results:
                    self._words = window.words  # at the lowest load
                self.found.windows.append(window)
                return window
        raise TooSlow(f"at {load}: {why}") if why else Unsteady(f"at {load}: {changed}")

    def _fault(self, window: Window) -> str:
        return fault(window, self._bounds, self._words)

    def _describe(self) -> None:
        found = self.found
        bad = [window for window in found.windows if window.load == found.upper and self._fault(window)]
        found.limited = any(window.refused for window in bad)
        found.cliff = any(window.refused or window.broken or window.mean_s > 2 * self._bounds.mean_s for window in bad)
