"""docs/reference/coverage.md: each page that a customer comes from, what it asks for, and what serves it here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from docs.tables.markdown import table

SOURCE = Path(__file__).with_name("coverage.yml")
HEAD = """\
# From Deepgram's pages to here

Every page of the self-hosted section of Deepgram's documentation, and the two pages that this project began with: what each asks
for, and the variable, command, page and test that serve it. A test holds that all of them exist.

"""


def rows() -> list[dict[str, Any]]:
    """The entries of coverage.yml."""
    found: list[dict[str, Any]] = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    return found


def page() -> str:
    lines = [
        [row["page"] if not number else "", *cells(ask)] for row in rows() for number, ask in enumerate(row["asks"])
    ]
    return HEAD + table(["page", "asks for", "variables", "commands", "page here", "tests", "not done"], lines)


def cells(ask: dict[str, Any]) -> list[str]:
    code = [" ".join(f"`{word}`" for word in ask.get(key, [])) for key in ("variables", "commands")]
    links = " ".join(f"[{name}]({os.path.relpath(name, 'reference')})" for name in ask.get("pages", []))
    tests = " ".join(f"`{name}`" for name in ask.get("tests", []))
    return [ask["ask"], *code, links, tests, ask.get("missing", "")]
