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
    """One number beside its limit. `at_least`: the limit is the smallest good value, else the largest."""

    part: str
    what: str
    value: float
    limit: float
    at_least: bool = False
    unit: str = "x"

    @property
    def passed(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def document(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "what": self.what,
            "value": round(self.value, 3),
            "limit": self.limit,
            "sense": "at least" if self.at_least else "at most",
            "unit": self.unit,
            "verdict": "pass" if self.passed else "fail",
        }


def growth(points: Iterable[tuple[int, float]]) -> float:
    """How much dearer one host is at the largest size than at the smallest; 1 is linear."""
    ordered = sorted(points)
    (few, little), (many, much) = ordered[0], ordered[-1]
    return (much / many) / (little / few)
