"""Results of benches as they lie in .dgctl/bench/: read again, by server and by what was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from dgctl.bench.window import Window

SAME = ("profile", "gpus", "release", "model")  # of `about`: results that agree in these are of the same thing
_NAMES = {each.name for each in fields(Window)}


@dataclass(frozen=True)
class Kept:
    """One result. `holds` holds and `fails` does not (None: nothing that was tried failed), by `bounds`; `file_s`: seconds of a
    file, None for streams, and for results of versions that did not note it.
    """

    path: Path
    host: str
    kind: str
    moment: str  # UTC, as in the file's name: 20261130T080000Z
    holds: int
    fails: int | None
    cause: str = ""
    limited: bool = False
    sustained: bool = False
    file_s: float | None = None
    about: dict[str, str] = field(default_factory=dict)
    bounds: dict[str, float] = field(default_factory=dict)
    windows: tuple[Window, ...] = ()

    @property
    def subject(self) -> tuple[str, ...]:
        """What was measured: profile, GPUs, release, model."""
        return tuple(self.about.get(name, "") for name in SAME)


def read(folder: Path) -> tuple[list[Kept], list[str]]:
    """(every result, the newest first; the names of files that are none)."""
    found, bad = [], []
    for path in sorted(folder.glob("*.json"), reverse=True):
        try:
            found.append(_retained(path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            bad.append(path.name)
    return found, bad


def newest(found: list[Kept], host: str, kind: str) -> Kept | None:
    """The last result of this server."""
    return next((one for one in found if (one.host, one.kind) == (host, kind)), None)


def within(windows: tuple[Window, ...], good: Callable[[Window], bool]) -> tuple[int, int | None]:
    """(highest load that is good, lowest that is not: None where all are). A load is good by most of its windows."""
    votes: dict[int, list[bool]] = {}
    for window in windows:
        votes.setdefault(window.load, []).append(good(window))
    bad = [load for load, reported in votes.items() if sum(reported) * 2 <= len(reported)]
    upper = min(bad, default=None)
    return max((load for load in votes if upper is None or load < upper), default=0), upper


def _retained(path: Path) -> Kept:
    reported = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refused)
    fails, file_s = reported["fails"], reported.get("file_s")
    found = Kept(
        path,
        str(reported["host"]),
        str(reported["kind"]),
        str(reported["moment"]),
        int(reported["holds"]),
        None if fails is None else int(fails),
        str(reported.get("cause") or ""),
        bool(reported.get("limited")),
        bool(reported.get("sustained")),
        None if file_s is None else float(file_s),
        {str(key): str(value) for key, value in reported["about"].items()},
        {str(key): float(value) for key, value in reported["bounds"].items()},
        tuple(_window(one) for one in reported["windows"]),
    )
    if found.holds < 0 or (found.fails is not None and found.fails <= 0):
        raise ValueError("a load below nothing")
    return found


def _window(reported: dict[str, Any]) -> Window:
    known = {name: value for name, value in reported.items() if name in _NAMES}
    window = Window(**{**known, "causes": tuple(known.get("causes") or ())})
    numbers = [value for value in vars(window).values() if not isinstance(value, tuple)]
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in numbers):
        raise ValueError("a window without its figures")
    return window


def _refused(name: str) -> float:
    raise ValueError(f"{name} is no figure")
