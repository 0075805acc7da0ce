"""The two outputs: JSON for programs, a table for people."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.statistics import Verdict
from bench.world import World

_OPTIONS = ("hosts", "repeat", "repeat_slow", "parallel", "endpoints", "fleet_many", "streams", "files", "benches")


def document(world: World, machine: dict[str, Any], at: str, seconds: float) -> dict[str, Any]:
    options = {name: value for name, value in asdict(world).items() if name in _OPTIONS}
    return {
        "at": at,
        "seconds": round(seconds, 1),
        "machine": machine,
        "options": options,
        "verdicts": [verdict.document() for verdict in world.verdicts],
        "measured": world.measured,
        "notes": world.notes,
    }


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def show(world: World, console: Console) -> None:
    """What was measured, then what it says beside the limits."""
    costs = Table(
        "What", "wall s", "CPU s", "peak MB", "runs", title="Measured (medians)", title_justify="left", box=None
    )
    for path, cost in _costs(world.measured):
        numbers = [f"{cost['wall_s']:.2f}", f"{cost['cpu_s']:.2f}", f"{cost['peak_mb']:.0f}", str(cost["repeat"])]
        costs.add_row(path, *numbers)
    console.print(costs)
    ratios = Table("Part", "Ratio", "Value", "Limit", "Verdict", title="Limits", title_justify="left", box=None)
    for verdict in world.verdicts:
        ratios.add_row(verdict.part, verdict.what, *_numbers(verdict), _coloured(verdict.verdict))
    console.print(ratios)
    for note in world.notes:
        console.print(f"note: {note}", highlight=False)


def _costs(measured: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every cost in the nested measurements, by its path."""
    found = []
    for name, value in measured.items():
        if isinstance(value, dict):
            here = f"{path} {name}".strip()
            found += [(here, value)] if "wall_s" in value else _costs(value, here)
    return found


def _numbers(verdict: Verdict) -> tuple[str, str]:
    value = f"{verdict.value:.4g} {verdict.unit}"
    if verdict.limit is None:
        return value, ""
    return value, f"{'>=' if verdict.at_least else '<='} {verdict.limit:g}"


def _coloured(word: str) -> str:
    return {"pass": "[green]pass[/]", "fail": "[bold red]fail[/]"}.get(word, word)
