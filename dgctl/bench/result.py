"""What a bench found of one server: kept as JSON beside the runs, shown as a table, and the advice that follows."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgctl.bench import kept
from dgctl.bench.job import STREAMS
from dgctl.bench.search import Found
from dgctl.bench.window import Bounds, Window

SHARE = 0.9  # of what was found to hold: the rest is for the hour that is worse than the bench


@dataclass
class Result:
    """`about`: what was measured: release, models, profile, gpus. `moment`: UTC, as in the names of the files."""

    host: str
    kind: str
    moment: str
    found: Found
    about: dict[str, Any] = field(default_factory=dict)
    bounds: Bounds = field(default_factory=Bounds)
    before: int | None = None  # the same server's last result
    file_s: float | None = None  # seconds of a file; None for streams

    @property
    def unit(self) -> str:
        return "streams" if self.kind == STREAMS else "files a minute"

    def document(self) -> dict[str, Any]:
        found = self.found
        verdict = {"holds": found.lower, "fails": found.upper, "cause": found.cause, "sustained": found.sustained}
        shape = {"shape": "cliff" if found.cliff else "smooth", "limited": found.limited}
        return {
            **{"host": self.host, "kind": self.kind, "moment": self.moment, "unit": self.unit, "about": self.about},
            **verdict,
            **shape,
            **({"file_s": self.file_s} if self.file_s else {}),
            "bounds": {"mean_s": self.bounds.mean_s, "p95_s": self.bounds.p95_s, "factor": self.bounds.factor},
            "windows": [window.as_dict() for window in found.windows],
        }


def keep(result: Result, folder: Path) -> Path:
    """Writes the result; returns its file."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{result.moment}-{result.host}-{result.kind}.json"
    path.write_text(json.dumps(result.document(), indent=1) + "\n", encoding="utf-8")
    return path


def last(host: str, kind: str, folder: Path) -> int | None:
    """What the last bench of this server found to hold; None where there was none that can be read."""
    found = kept.newest(kept.read(folder)[0], host, kind)
    return found.holds if found else None


def sentence(result: Result) -> str:
    """The result in one line."""
    found, unit = result.found, result.unit
    if not found.lower:
        return f"{result.host} does not hold one of the {unit}: {found.cause}"
    until = f"and not {found.upper} ({found.cause})" if found.upper else "and more were not tried"
    how = (
        "" if found.upper is None else ", at once above it (a cliff)" if found.cliff else ", slower by and by above it"
    )
    lasting = "" if found.sustained else "; it did not last in the long run"
    then = f"; before: {result.before}" if result.before is not None else ""
    return f"{result.host} holds {found.lower} {unit} {until}{how}{lasting}{then}"


def advice(result: Result, peers: int, known: Collection[str], flux: bool) -> list[str]:
    """What to set, and when to add a server. `peers`: servers of this kind; `known`: variables that this version has."""
    found = result.found
    if not found.lower:
        return ["Look for the cause first: dgctl doctor"]
    if found.limited:
        names = "deepgram_flux_max_streams" if flux else "deepgram_engine_max_active_requests"
        return [
            f"It refused, by a limit of its own: raise {names}, provision, and measure again to learn what the GPU holds"
        ]
    if found.upper is None:
        return ["It held all that was tried: a higher --most finds its limit"]
    if result.kind != STREAMS:
        return [f"Add a server before more than {int(found.lower * SHARE)} files a minute come for each"]
    limit = max(1, int(found.lower * SHARE))
    lines = [f"{'deepgram_flux_max_streams' if flux else 'deepgram_engine_max_active_requests'}: {limit}"]
    if "deepgram_target_inputs" in known:
        lines.append(f"deepgram_target_inputs: {max(1, limit - 1)}")
    if peers > 1:
        lines.append(
            f"{peers} servers like it take {peers * limit} {result.unit}, {(peers - 1) * limit} when one is out"
        )
    lines.append(
        f"Add a server when they carry {max(1, int((peers - 1 or 1) * limit * 0.7))} of them at a time for ten minutes"
    )
    return lines


def rows(windows: list[Window]) -> list[tuple[str, ...]]:
    """The windows as a table: load, mean, P95, factor, words, lost, this machine's lag."""
    return [
        (
            str(one.load),
            _ms(one.mean_s),
            _ms(one.p95_s),
            f"{one.factor:.0f}" if one.factor else "",
            f"{one.words:.1%}",
            str(one.refused + one.broken),
            _ms(one.lag_p99_s),
        )
        for one in windows
    ]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
