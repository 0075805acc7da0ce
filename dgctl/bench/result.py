"""What a bench found of one server: kept as JSON beside the runs, shown as a table, and the advice that follows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgctl.bench import retained
from dgctl.bench.job import FILES, STREAMS, TTS, UNITS
from dgctl.bench.search import Found
from dgctl.bench.window import Bounds, Window
from dgctl.verify.voices import TEXT

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
        return UNITS[self.kind]

    def document(self) -> dict[str, Any]:
        found = self.found
        verdict = {"holds": found.lower, "fails": found.upper, "cause": found.cause, "sustained": found.sustained}
        shape = {"shape": "cliff" if found.cliff else "smooth", "limited": found.limited}
        return {
            **{"host": self.host, "kind": self.kind, "moment": self.moment, "unit": self.unit, "about": self.about},
            **verdict,
            **shape,
            **({"file_s": self.file_s} if self.file_s else {}),
            "bounds": _bounds(self.bounds),
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
    found = retained.newest(retained.read(folder)[0], host, kind)
    return found.holds if found else None


def sentence(result: Result) -> str:
    """The result in one line."""
    found, unit = result.found, result.unit
    if not found.lower:
        return f"{result.host} does not hold {found.upper or 1} {unit}: {found.cause}"
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
    if result.kind == TTS:
        return _speech_advice(result, peers)
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


def _speech_advice(result: Result, peers: int) -> list[str]:
    limit = max(1, int(result.found.lower * SHARE))
    at_once = max((one.at_once for one in result.found.windows if one.load == result.found.lower), default=0.0)
    each = f"{limit} {result.unit} of {len(TEXT)} characters, {at_once * SHARE:.1f} at a time"
    lines = [f"Add a server before more than {each} come for each"]
    if peers > 1:
        both = f"{peers * limit} {result.unit}, {(peers - 1) * limit} when one is out"
        lines.append(f"{peers} servers like it take {both}")
    return lines


def table(result: Result) -> list[tuple[str, ...]]:
    """The windows, a line each, below their headings."""
    names = COLUMNS[result.kind]
    return [names, *(tuple(_CELLS[name](one) for name in names) for one in result.found.windows)]


def _bounds(bounds: Bounds) -> dict[str, float]:
    """Those that there are, for JSON."""
    known = {name: getattr(bounds, name) for name in ("mean_s", "p90_s", "p95_s", "p99_s", "factor")}
    return {name: value for name, value in known.items() if math.isfinite(value)}


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


# What a column shows of a window, and the columns of each kind of bench.
_CELLS: dict[str, Callable[[Window], str]] = {
    "load": lambda one: str(one.load),
    "mean": lambda one: _ms(one.mean_s),
    "P90": lambda one: _ms(one.p90_s),
    "P95": lambda one: _ms(one.p95_s),
    "P99": lambda one: _ms(one.p99_s),
    "x real time": lambda one: f"{one.factor:.0f}" if one.factor else "",
    "words": lambda one: f"{one.words:.1%}",
    "at a time": lambda one: f"{one.at_once:.1f}",
    "lost": lambda one: str(one.refused + one.broken),
    "own lag": lambda one: _ms(one.lag_p99_s),
}
_HEARD = ("load", "mean", "P95", "x real time", "words", "lost", "own lag")
COLUMNS = {STREAMS: _HEARD, FILES: _HEARD, TTS: ("load", "mean", "P90", "P99", "at a time", "lost", "own lag")}
