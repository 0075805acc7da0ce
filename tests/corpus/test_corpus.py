"""Hostile but fair inputs: each ends in its exit code, names the cause, and harms nothing. Table: docs/reference/refusals.md."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.corpus.runner import KEY, Row, prepare, rows, run

ALL = rows()
NEVER = ("Traceback", "bug in dgctl:", KEY)


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a short name, as messages hold it."""
    path = Path(tempfile.mkdtemp(prefix="corpus-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("row", ALL, ids=lambda row: f"{row.group}: {row.row}")
def test_row(row: Row, folder: Path) -> None:
    prepare(row, folder)
    before = contents(folder)
    done = run(row, folder)
    assert done.code == row.exit, done.text
    text = squeezed(done.text)
    assert [words for words in row.says if squeezed(words) not in text] == [], done.text
    assert [words for words in (*NEVER, *row.never) if words in done.text] == [], done.text
    assert row.process or row.shell or "\x1b" not in done.text, "an escape sequence is printed"
    assert done.code != 3 or "fix" in done.text or not done.text.strip(), done.text
    assert row.changes or {name: text for name, text in contents(folder).items() if name in before} == before


def contents(folder: Path) -> dict[str, bytes]:
    """The deployment's files, without those of runs."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0][:1] != ".")
    return {str(path): path.read_bytes() for path in paths}


def test_every_row_has_a_name_of_its_own() -> None:
    names = Counter((row.group, row.row) for row in ALL)
    assert [name for name, times in names.items() if times > 1] == []


def test_a_row_that_says_something_else_is_noticed(folder: Path) -> None:
    row = Row("self", "valid, and called invalid", exit=3, says=["no such words"])
    with pytest.raises(AssertionError):
        test_row(row, folder)
