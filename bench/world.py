"""What every part works with: options, folders, progress, and what has been measured so far."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.statistics import Verdict

PROJECT = Path(__file__).resolve().parents[1]
CACHE = PROJECT / ".cache/bench"


@dataclass
class World:
    """`measured`: by part, what goes to the JSON; `verdicts`: numbers with limits; `notes`: what a reader must know."""

    hosts: int = 40
    repeat: int = 5
    repeat_slow: int = 5
    parallel: int = 20
    endpoints: tuple[int, ...] = (250, 500, 1000)
    fleet_lab: str = "benchfleet"
    fleet_many: int = 10
    streams: int = 40
    files: int = 20
    benches: int = 20
    measured: dict[str, Any] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """One line of progress, on stderr: stdout is for the table."""
        print(f"{time.monotonic() - self.started:7.0f}s  {text}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
            self.say(f"note: {text}")

    def where(self, part: str, **found: Any) -> None:
        """Where dgctl says that its time went, into the JSON."""
        self.measured.setdefault("where", {})[part] = found
