"""docs/mutation.md from the results of a run and from what tests/mutation/equivalent.yml says of its survivors."""

from __future__ import annotations

import datetime
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from tests.paths import PROJECT

KNOWN = PROJECT / "tests" / "mutation" / "equivalent.yml"
HEAD = """\
# What the tests notice

A mutation is a small wrong change of one line: a condition turned round, an action left out, `and` for `or`. A test
should fail with each. `bin/mutants` draws some of them with a seed from what changes a server, a proxy or the inventory
(`tests/mutation/candidates.py`), runs the tests that execute the line in a copy of the tree, and writes this page.

    bin/mutants --map          which test executes which line: once, and after tests were added (minutes)
    bin/mutants                200 mutations; --seed and --count for others, --all also of what only looks or writes words
    bin/mutants --only FILE    those of one file, without this page

"""


def write(path: Path, found: list[dict[str, Any]], seed: int, chosen_by: str) -> None:
    path.write_text(HEAD + text(found, seed, chosen_by, yaml.safe_load(KNOWN.read_text()) or {}))


def text(found: list[dict[str, Any]], seed: int, chosen_by: str, known: dict[str, str]) -> str:
    """The counts, and a line for each that was not noticed. `known`: "file `old` -> `new`" -> why it may be."""
    ends = Counter(one["end"] for one in found)
    noticed = ends["killed"] + ends["hung"]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True)
    today = datetime.datetime.now(datetime.UTC).date()
    lines = [
        f"Seed {seed}, commit {commit.stdout.strip()}, {today}; the tests were chosen by {chosen_by}.",
        "",
        f"**{noticed} of {len(found)} noticed ({noticed / max(1, len(found)):.0%})**: {ends['killed']} by a test that failed, "
        f"{ends['hung']} by one that did not end. Not noticed: {ends['survived'] + ends['no test']}, "
        f"of which {ends['no test']} are executed by no test.",
        "",
        "| line | change | why no test notices it |",
        "|---|---|---|",
    ]
    alive = [one for one in found if one["end"] not in ("killed", "hung")]
    for one in sorted(alive, key=lambda one: (one["file"], one["line"])):
        why = known.get(f"{one['file']} {one['what']}", "not yet looked at")
        what = one["what"].replace("|", "\\|")
        lines.append(f"| {one['file']}:{one['line']} | {what} | {why.replace('|', chr(92) + '|').strip()} |")
    return "\n".join([*lines, ""])
