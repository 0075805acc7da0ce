"""Live progress on stderr: on a terminal a table of hosts, in a pipe one line a phase."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from dgctl.base.display import printable

STYLES = {
    "ok": "green",
    "changed": "yellow",
    "failed": "bold red",
    "unreachable": "bold red",
    "running": "cyan",
}
BAD = ("failed", "unreachable")


class Progress(Protocol):
    """What runners tell while they work; every call is cheap and may come from any host in any order."""

    def phase(self, name: str) -> None:
        """A phase begins (a play, or `Verify`)."""

    def host(self, name: str, state: str, note: str = "") -> None:
        """`state`: running, ok, changed, failed, unreachable; `note` is the task or the cause."""


class Lines:
    """For pipes and logs: a line when a phase begins, and one when a host fails."""

    def __init__(self, started: float | None = None):
        self._started = started or time.monotonic()
        self._bad: dict[str, str] = {}

    def phase(self, name: str) -> None:
        self.close()
        self._say(name)

    def host(self, name: str, state: str, note: str = "") -> None:
        # A failed host that goes on was rescued: so a failure is said when its phase ends, not before.
        if state == "running":
            self._bad.pop(name, None)
        elif state in BAD:
            self._bad[name] = f"{name} {state}: {note}"

    def close(self) -> None:
        """Says what failed in the phase that ends."""
        for text in self._bad.values():
            self._say(text)
        self._bad.clear()

    def _say(self, text: str) -> None:
        print(f"{clock(time.monotonic() - self._started):>7}  {printable(text)}", file=sys.stderr, flush=True)


@dataclass
class _Row:
    state: str = "waiting"
    phase: str = ""
    note: str = ""
    ended: float | None = None


class Table:
    """For terminals: host, phase, task and time, redrawn in place; failing hosts first when not all fit."""

    def __init__(self, hosts: list[str], phases: list[str], height: int, started: float | None = None):
        self._rows = {name: _Row() for name in hosts}
        self._phases = phases
        self._phase = ""
        self._height = max(3, height - 6)
        self._started = started or time.monotonic()

    def phase(self, name: str) -> None:
        self._phase = name
        if name not in self._phases:
            self._phases.append(name)

    def host(self, name: str, state: str, note: str = "") -> None:
        row = self._rows.setdefault(name, _Row())
        row.state, row.note, row.phase = state, note, self._phase
        row.ended = time.monotonic() if state in BAD else None

    def __rich__(self) -> Any:
        from rich.table import Table as RichTable

        position = self._phases.index(self._phase) + 1 if self._phase else 0
        title = f"{self._phase or 'Starting'} ({position}/{len(self._phases)})"
        table = RichTable("Host", title=title, title_justify="left", box=None)
        widths = {"State": 11, "Phase": max(map(len, [*self._phases, "Phase"])), "Task": 40, "Time": 6}
        for heading, width in widths.items():  # fixed, so that the table does not jump as tasks change
            table.add_column(heading, min_width=width)
        for name, row in self._shown():
            seconds = (row.ended or time.monotonic()) - self._started
            style = STYLES.get(row.state, "dim")
            table.add_row(name, f"[{style}]{row.state}[/]", row.phase, _short(row.note), clock(seconds))
        hidden = len(self._rows) - self._height
        if hidden > 0:
            table.add_row(f"and {hidden} more", "", "", "", "", style="dim")
        return table

    def _shown(self) -> list[tuple[str, _Row]]:
        order = {"failed": 0, "unreachable": 0, "running": 1}
        rows = list(self._rows.items())
        if len(rows) > self._height:
            rows.sort(key=lambda pair: order.get(pair[1].state, 2))
        return rows[: self._height]


def _short(text: str) -> str:
    from rich.markup import escape

    text = printable(text)
    return escape(text if len(text) <= 60 else f"{text[:59]}…")


def clock(seconds: float) -> str:
    """12s, 3m05s, 1h02m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


@contextmanager
def shown(hosts: list[str], phases: list[str], plain: bool, started: float) -> Iterator[Progress]:
    """The progress that fits stderr; `plain`: lines even on a terminal (-v prints between them).

    `started`: the run's start, as time.monotonic() gave it.
    """
    if plain or not sys.stderr.isatty():
        lines = Lines(started)
        yield lines
        lines.close()
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, emoji=False)
    table = Table(hosts, list(phases), console.height, started)
    with Live(table, console=console, refresh_per_second=4, transient=True):
        yield table
