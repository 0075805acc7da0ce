"""The page of what `bin/test --all` applied on simulated servers, from the outcome of each test of each story.

All of it takes more than an hour, so a story is kept as it was last told, with its commit: the page is of all of them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from docs.tables.markdown import table
from tests.scenarios.support.systems import ELSEWHERE

Outcomes = dict[str, str]  # a test's id -> passed, failed or skipped

_ID = re.compile(r"(test_\d+_\w+)\.py::\w+(?:\[(.*)\])?$")
_DRILL = re.compile(r"(docker|podman)-([a-z]+\d+)-(.+)")


HEAD = (
    "Written by `bin/test --all`, with simulated servers (lab/): {passed} of {all} tests passed. It tells all stories, or "
    "those that it is given by name; each is here as it was last told."
)


@dataclass
class Told:
    """One story: at which commit and on which day, the outcome of each of its tests, and how long it took."""

    story: str
    commit: str
    day: str
    outcomes: Outcomes
    seconds: float


def reported(
    outcomes: Outcomes, seconds: Counter[str], commit: str, day: str, story_of: Callable[[str], str]
) -> list[Told]:
    """The stories that these tests belong to."""
    stories: dict[str, Outcomes] = {}
    for test, outcome in outcomes.items():
        stories.setdefault(story_of(test), {})[test] = outcome
    return [Told(story, commit, day, found, round(seconds[story])) for story, found in stories.items()]


def retained(folder: Path, new: Iterable[Told]) -> list[Told]:
    """All stories that `folder` holds, after these have taken the place of what it held of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in new:
        (folder / f"{one.story}.json").write_text(json.dumps(asdict(one), indent=1))
    return [Told(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]


def page(stories: list[Told]) -> str:
    outcomes = {test: outcome for one in stories for test, outcome in sorted(one.outcomes.items())}
    drills, systems, files = _by_subject(outcomes)
    head = HEAD.format(passed=list(outcomes.values()).count("passed"), all=len(outcomes))
    parts = ["# What was applied, and how it went", head, "## Fault drills", _drills(drills)]
    parts += ["## Systems, container engines and sources of the driver", _systems(systems)]
    parts += ["## Every file of tests", _counted("File", files)]
    parts += ["## Every story", table(["Story", "commit", "day", "passed", "of", "seconds"], _rows(stories))]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _rows(stories: list[Told]) -> list[list[str]]:
    """The slowest first."""
    rows = []
    for one in sorted(stories, key=lambda one: -one.seconds):
        passed = list(one.outcomes.values()).count("passed")
        rows.append([f"`{one.story}`", one.commit, one.day, f"{passed}", f"{len(one.outcomes)}", f"{one.seconds:.0f}"])
    return rows


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
