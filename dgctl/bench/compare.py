"""Kept results side by side: by GPUs, release and model, each with what changed since the release before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from dgctl.bench.job import UNITS
from dgctl.bench.retained import Kept

HEADINGS = ("GPUs", "model", "release", "measured", "servers", "holds", "than the release before")
NEAR, NEAR_SHARE = 1, 0.05  # within which a bench finds the same capacity again 19 times of 20 (docs/monitoring.md)


@dataclass(frozen=True)
class Row:
    """The last results of servers that are equal. `low`, `high`: what they hold; `change`: the share by which the middle of them
    differs from `before`, that of the release before; None where there is none, 0 where the difference is within a bench's doubt.
    """

    kind: str
    profile: str
    gpus: str
    model: str
    file_s: float | None
    release: str
    moment: str
    servers: int
    low: int
    high: int
    before: float | None = None
    change: float | None = None

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2

    @property
    def of(self) -> tuple[str, ...]:
        """What has to agree for two rows to be compared."""
        return self.kind, self.profile, self.gpus, self.model, str(self.file_s or "")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def rows(results: Iterable[Kept]) -> list[Row]:
    """Newest results first -> a row for each thing that was measured, releases in their order."""
    groups: dict[tuple[str, ...], dict[str, Kept]] = {}
    for one in results:
        place = (one.kind, *one.subject, str(one.file_s or ""))
        groups.setdefault(place, {}).setdefault(one.host, one)  # the newest of each server
    found = sorted((_row(list(of.values())) for of in groups.values()), key=lambda row: (row.of, row.release))
    return [_compared(row, last) for row, last in zip(found, [None, *found], strict=False)]


def table(found: list[Row]) -> list[tuple[str, ...]]:
    """For people: a line a row, below its headings."""
    return [HEADINGS, *(_cells(row) for row in found)]


def _row(same: list[Kept]) -> Row:
    first, holds = same[0], [one.holds for one in same]
    about = {name: first.about.get(name, "") for name in ("profile", "gpus", "model", "release")}
    moment = max(one.moment for one in same)
    return Row(
        first.kind, file_s=first.file_s, moment=moment, servers=len(same), low=min(holds), high=max(holds), **about
    )


def _compared(row: Row, last: Row | None) -> Row:
    if not last or last.of != row.of or not last.middle:
        return row
    near = max(NEAR, NEAR_SHARE * last.middle)
    change = 0.0 if abs(row.middle - last.middle) <= near else row.middle / last.middle - 1
    return replace(row, before=last.middle, change=round(change, 4))


def _cells(row: Row) -> tuple[str, ...]:
    unit = UNITS.get(row.kind, row.kind)
    unit += f" of {row.file_s:.0f} s" if row.file_s else ""
    holds = str(row.low) if row.low == row.high else f"{row.low} to {row.high}"
    change = "" if row.change is None else f"{row.change:+.0%}" if row.change else "the same"
    moment = f"{row.moment[:4]}-{row.moment[4:6]}-{row.moment[6:8]}"
    return row.gpus or "-", row.model or "-", row.release or "-", moment, str(row.servers), f"{holds} {unit}", change
