"""The page of what a whole run of `bin/test --all` applied on simulated servers, from the outcome of each test."""

from __future__ import annotations

import re
from collections import Counter

from docs.tables import table
from tests.scenarios.systems import ELSEWHERE

Outcomes = dict[str, str]  # a test's id -> passed, failed or skipped

_ID = re.compile(r"(test_\d+_\w+)\.py::\w+(?:\[(.*)\])?$")
_DRILL = re.compile(r"(docker|podman)-([a-z]+\d+)-(.+)")


def page(outcomes: Outcomes, seconds: Counter[str], head: str) -> str:
    """`seconds`: by story. `head`: one paragraph on when and where it was."""
    drills, systems, files = _by_subject(outcomes)
    parts = ["# What was applied, and how it went", head, "## Fault drills", _drills(drills)]
    parts += ["## Systems, container engines and sources of the driver", _systems(systems)]
    parts += ["## Every file of tests", _counted("File", files)]
    parts += ["## Seconds by story", "Stories run two at a time.", table(["Story", "seconds"], _rows(seconds))]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _rows(seconds: Counter[str]) -> list[list[str]]:
    return [[f"`{story}`", f"{spent:.0f}"] for story, spent in seconds.most_common()]


def _by_subject(outcomes: Outcomes) -> tuple[dict[tuple[str, str], str], dict[str, Counter], dict[str, Counter]]:
    drills: dict[tuple[str, str], str] = {}
    systems: dict[str, Counter] = {}
    files: dict[str, Counter] = {}
    for test, outcome in outcomes.items():
        found = _ID.search(test)
        if not found:
            continue
        name, of = found[1], found[2] or ""
        files.setdefault(name, Counter())[outcome] += 1
        drill = _DRILL.fullmatch(of)
        if name == "test_10_drills" and drill:
            drills[drill[3], f"{drill[2]}, {drill[1]}"] = outcome
        if name == "test_11_systems" and of:
            systems.setdefault(of, Counter())[outcome] += 1
    return drills, systems, files


def _drills(drills: dict[tuple[str, str], str]) -> str:
    """A fault a line, a ground a column."""
    faults = list(dict.fromkeys(fault for fault, _ in drills))
    grounds = list(dict.fromkeys(ground for _, ground in drills))
    rows = [[f"`{fault}`", *(drills.get((fault, ground), "") for ground in grounds)] for fault in faults]
    return table(["Fault", *grounds], rows)


def _systems(systems: dict[str, Counter]) -> str:
    others = ", ".join("-".join(way) for way in ELSEWHERE)
    return f"{_counted('Way', systems)}\nOther stories apply: {others}."


def _counted(what: str, counters: dict[str, Counter]) -> str:
    kinds = ("passed", "failed", "skipped")
    return table(
        [what, *kinds], [[f"`{name}`", *(str(found[kind] or "") for kind in kinds)] for name, found in counters.items()]
    )
