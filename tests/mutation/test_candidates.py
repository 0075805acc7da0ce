"""The mutations themselves: every one changes the line that it names, and stays Python."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest

from tests.mutation.candidates import ACTS, ALL, collected, firsts, of_file
from tests.mutation.choose import ByName
from tests.paths import PROJECT


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("if a:\n    f()\n", ["if not (a):\n    f()\n", "if a:\n    pass\n"]),
        ("x = a if b else c\n", ["x = a if not (b) else c\n"]),
        ("x = [a for a in b if a]\n", ["x = [a for a in b if not (a)]\n"]),
        ("x = a and b\n", ["x = (a or b)\n"]),
        ("x = not a\n", ["x = (a)\n"]),
        ("x = a == 'ä' or b\n", ["x = (a == 'ä' and b)\n", "x = (a != 'ä') or b\n"]),
        ("if a < b:\n    raise X\n", ["if not (a < b):\n    raise X\n", "if (a <= b):\n    raise X\n", "if a < b:\n    pass\n"]),
        ("def f(a: int | None = True):\n    if a:\n        return 0\n    return a\n", [
            "def f(a: int | None = False):\n    if a:\n        return 0\n    return a\n",
            "def f(a: int | None = True):\n    if not (a):\n        return 0\n    return a\n",
            "def f(a: int | None = True):\n    if a:\n        pass\n    return a\n",
            "def f(a: int | None = True):\n    if a:\n        return 1\n    return a\n",
        ]),
        ("x = f'{a or b}'\ny = 7\n", []),
        ("if __name__ == '__main__':\n    f()\n", []),
        ("f(timeout=1)\n", ["pass\n"]),
    ],
)  # fmt: skip
def test_the_mutations_of_a_line(tmp_path: Path, source: str, changed: list[str]) -> None:
    path = tmp_path / "x.py"
    path.write_text(source)
    found = [one.applied(source.encode()).decode() for one in of_file(path, "x.py")]
    assert sorted(found) == sorted(changed)


def test_every_mutation_is_python_and_another_one() -> None:
    every = collected(PROJECT, ALL)
    sources = {one.file: (PROJECT / one.file).read_bytes() for one in every}
    for one in random.Random(1).sample(every, 60):
        mutated = one.applied(sources[one.file])
        ast.parse(mutated)
        assert mutated != sources[one.file] and one.first <= one.line


def test_what_acts_is_a_part_and_each_pattern_leads_somewhere() -> None:
    assert [pattern for pattern in ACTS if not list(PROJECT.glob(pattern))] == []


def test_what_acts_has_tests_that_are_about_it() -> None:
    chooser = ByName(PROJECT)
    # one a file: what is chosen depends on nothing else
    assert {one.file for one in firsts(PROJECT) if not chooser.of(one)} == set()
