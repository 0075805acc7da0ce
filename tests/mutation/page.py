"""docs/evidence/mutation.md from the results of a run and from what tests/mutation/equivalent.yml says of its survivors."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from tests.paths import PROJECT

KNOWN = PROJECT / "tests" / "mutation" / "equivalent.yml"
NOTES = PROJECT / "tests" / "mutation" / "notes.md"  # what a person adds to the last run
HEAD = """\
# What the tests notice

A mutation is a small wrong change of one line: a condition turned round, an action left out, `and` for `or`. A test
should fail with each. `bin/mutants` draws some of them with a seed from what changes a server, a proxy or the inventory
(`tests/mutation/candidates.py`), runs the tests that execute the line in a copy of the tree, and writes this page. A test
that fails counts only if it passes alone without the mutation, at that moment.

    bin/mutants --map          which test executes which line: once, and after tests were added (minutes)
    bin/mutants                200 mutations; --seed and --count for others, --all also of what only looks or writes words
    bin/mutants --again        those that survived, with the tests and the code of now
    bin/mutants --only FILE    those of one file, without this page

"""
NOTICED = ("killed", "hung", "gone")


def now(one: dict[str, Any]) -> dict[str, Any]:
    """What was last found of it: after tests were written for survivors, these are tried again."""
    return one.get("again", one)


def is_alive(one: dict[str, Any]) -> bool:
    return now(one)["end"] not in NOTICED


def write(path: Path, found: list[dict[str, Any]], seed: int) -> None:
    page = text(found, seed, yaml.safe_load(KNOWN.read_text()) or {})
    path.write_text(HEAD + page.replace("## Noticed\n", f"{NOTES.read_text()}\n## Noticed\n", 1))


def text(found: list[dict[str, Any]], seed: int, known: dict[str, str]) -> str:
    """The counts, a line for each that was not noticed, a line for each that was. `known`: "file `a` -> `b`" -> why."""
    alive = [one for one in found if is_alive(one)]
    alike = [one for one in alive if _why(one, known)]
    first = Counter(one["end"] for one in found)
    share = (len(found) - len(alive)) / max(1, len(found))
    lines = [
        f"Seed {seed}, {len(found)} of {found[0]['of']} possible mutations. First run ({_of(found)}): {first['killed']} killed, "
        f"{first['hung']} hung, {first['survived']} survived, {first['no test']} executed by no test: "
        f"{(first['killed'] + first['hung']) / max(1, len(found)):.1%} noticed.",
        "",
        *_again(found),
        f"**{len(found) - len(alive)} of {len(found)} noticed ({share:.1%})**. Not noticed: {len(alive)}, of which "
        f"{len(alike)} change nothing that anybody could see (equivalent).",
        "",
        "| line | change | why no test notices it |",
        "|---|---|---|",
        *(_row(one, _why(one, known) or "**a test is missing**") for one in _sorted(alive)),
        "",
        "## Noticed",
        "",
        "Lines are those of the commit of the first run.",
        "",
        "| line | change | the test that failed first |",
        "|---|---|---|",
        *(_row(one, _by(one)) for one in _sorted(one for one in found if not is_alive(one))),
    ]
    return "\n".join([*lines, ""])


def _of(found: list[dict[str, Any]]) -> str:
    commits = dict.fromkeys(one["commit"] for one in found)
    dates = dict.fromkeys(one["date"] for one in found)
    return f"{', '.join(dates)}, commit {', '.join(commits)}"


def _again(found: list[dict[str, Any]]) -> list[str]:
    second = [one["again"] for one in found if "again" in one]
    if not second:
        return []
    ends, dated = Counter(one["end"] for one in second), [one for one in second if "date" in one]
    return [
        f"For survivors tests were written, or the line was mended or deleted; then these {len(second)} were tried again "
        f"({_of(dated)}): {ends['killed'] + ends['hung']} noticed, {ends['gone']} are in no line any more, "
        f"{ends['survived'] + ends['no test']} survived again.",
        "",
    ]


def _sorted(found: Any) -> list[dict[str, Any]]:
    return sorted(found, key=lambda one: (one["file"], one["line"]))


def _why(one: dict[str, Any], known: dict[str, str]) -> str:
    place = now(one)
    return known.get(f"{one['file']}:{place.get('line')} {one['what']}") or known.get(
        f"{one['file']} {one['what']}", ""
    )


def _by(one: dict[str, Any]) -> str:
    last = now(one)
    if last["end"] == "gone":
        return "the line was mended or deleted"
    mark = " (tried again)" if "again" in one else ""
    if last["end"] == "hung" or not last["by"]:
        return ("does not end" if last["end"] == "hung" else "no test can start") + mark
    return f"`{last['by'].split('[')[0]}`{mark}"


def _row(one: dict[str, Any], says: str) -> str:
    cells = (f"{one['file']}:{one['line']}", one["what"], says)
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
