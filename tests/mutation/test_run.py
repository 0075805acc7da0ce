"""The run: what counts as noticed, what is tried again, what the page says."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from tests.mutation import judge, page, run
from tests.mutation.candidates import Mutation, of_file

SOURCE = "def f(a):\n    if a:\n        return 1\n    return 0\n"
TESTS = """\
import os
from mutated_module import f

def test_of_the_line():
    assert f(True) == 1

def test_of_nothing():
    assert f

def test_that_fails_when_it_is_second():
    seen = os.path.exists("seen")
    open("seen", "w").close()
    assert not seen
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mutated_module.py").write_text(SOURCE)
    (tmp_path / "test_it.py").write_text(TESTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return tmp_path


def mutation(place: Path, what: str) -> Mutation:
    return next(one for one in of_file(place / "mutated_module.py", "mutated_module.py") if one.what == what)


def test_a_mutation_is_killed_by_a_test_that_passes_without_it(place: Path) -> None:
    turned = mutation(place, "`a` -> `not (a)`")
    tests = ["test_it.py::test_of_nothing", "test_it.py::test_of_the_line"]
    assert judge.judged(turned, tests, place) == ("killed", "test_it.py::test_of_the_line")
    assert judge.judged(turned, tests[:1], place) == ("survived", "")
    assert judge.judged(turned, [], place) == ("no test", "")
    assert (place / "mutated_module.py").read_text() == SOURCE


def test_a_test_that_fails_without_the_mutation_kills_nothing(place: Path) -> None:
    (place / "seen").touch()
    tests = ["test_it.py::test_that_fails_when_it_is_second", "test_it.py::test_of_nothing"]
    assert judge.judged(mutation(place, "`a` -> `not (a)`"), tests, place) == ("survived", "")
    assert judge.judged(mutation(place, "`a` -> `not (a)`"), tests[:1], place) == ("no test", "")


def test_a_name_that_is_no_test_kills_nothing(place: Path) -> None:
    assert judge.judged(mutation(place, "`a` -> `not (a)`"), ["test_it.py::test_of_old"], place) == ("no test", "")


def test_one_that_does_not_end_is_stopped(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "LIMIT_S", 1)
    (place / "test_it.py").write_text("import time\ndef test_of_the_line():\n    time.sleep(60)\n")
    found = judge.judged(mutation(place, "`a` -> `not (a)`"), ["test_it.py::test_of_the_line"], place)
    assert found == ("hung", "")


def test_what_has_a_result_is_not_run_twice(place: Path) -> None:
    every = list(of_file(place / "mutated_module.py", "mutated_module.py"))
    done = [{"file": every[0].file, "line": every[0].line, "what": every[0].what}]
    assert run.remaining(every, done) == every[1:]


def test_a_survivor_is_tried_where_its_line_is_now(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "mutated_module.py").write_text("\n\n" + SOURCE + "\n" * 9 + SOURCE)
    every = list(of_file(place / "mutated_module.py", "mutated_module.py"))
    monkeypatch.setattr(run, "PROJECT", place)
    one = {"file": "mutated_module.py", "line": 2, "what": "`a` -> `not (a)`", "text": "if a:"}
    assert run._nearest(every, one).line == 4
    assert run._nearest(every, {**one, "text": "if a:  # now"}) is None
    assert run._nearest(every, {**one, "what": "`b` -> `not (b)`"}) is None


def found(end: str, **more: Any) -> dict[str, Any]:
    return {"file": "a.py", "line": 3, "what": "`a | b` -> `a & b`", "tests": 1, "end": end, "by": "t.py::test_x[1]",
            "commit": "1a2b3c4", "date": "2026-12-01", "of": 5000, **more}  # fmt: skip


def test_the_page_counts_and_lists_every_mutation() -> None:
    ends = [found("killed"), found("hung"), found("survived"), found("no test"), found("survived", line=9)]
    text = page.text(ends, 7, {"a.py:3 `a | b` -> `a & b`": "the same | here"})
    assert (
        "Seed 7, 5 of 5000 possible mutations. First run (2026-12-01, commit 1a2b3c4): 1 killed, 1 hung, 2 survived"
        in text
    )
    assert "**2 of 5 noticed (40.0%)**. Not noticed: 3, of which 2 change" in text
    assert text.count("| a.py:3 | `a \\| b` -> `a & b` | the same \\| here |") == 2
    assert "| a.py:9 | `a \\| b` -> `a & b` | **a test is missing** |" in text
    assert "| a.py:3 | `a \\| b` -> `a & b` | `t.py::test_x` |" in text and "| does not end |" in text


def test_the_page_counts_what_was_tried_again() -> None:
    ends = [
        found("survived", again=found("killed", commit="new")),
        found("survived", again={"end": "gone"}),
        found("survived", again=found("survived", commit="new")),
    ]
    text = page.text(ends, 7, {})
    assert (
        "these 3 were tried again (2026-12-01, commit new): 1 noticed, 1 are in no line any more, 1 survived again."
        in text
    )
    assert "**2 of 3 noticed (66.7%)**" in text
    assert "| `t.py::test_x` (tried again) |" in text and "| the line was mended or deleted |" in text
