"""Numbers of several runs, and what they say beside a limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.measure import Cost


def medians(costs: Sequence[Cost]) -> dict[str, Any]:
    """Median of each number, with every run's numbers beside it."""
    runs = [cost.numbers() for cost in costs]
    middle = {name: round(median(one[name] for one in runs), 4) for name in runs[0]}
    return {**middle, "repeat": len(runs), "runs": runs}


@dataclass(frozen=True)
class Verdict:
    """One number beside its limit. `at_least`: the limit is the smallest good value, else the largest; None: no limit."""

    part: str
    what: str
    value: float
    limit: float | None = None
    at_least: bool = False
    unit: str = "x"

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return "-"
        return "pass" if self._holds(self.limit) else "fail"

    def _holds(self, limit: float) -> bool:
        return self.value >= limit if self.at_least else self.value <= limit

    def document(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "what": self.what,
            "value": round(self.value, 3),
            "limit": self.limit,
            "sense": "at least" if self.at_least else "at most",
            "unit": self.unit,
            "verdict": self.verdict,
        }


def growth(points: Iterable[tuple[int, float]]) -> float:
    """How much dearer one host is at the largest size than at the smallest; 1 is linear."""
    ordered = sorted(points)
    (few, little), (many, much) = ordered[0], ordered[-1]
    return (much / many) / (little / few)
