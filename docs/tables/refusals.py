"""Tables for the page of refusals, from the corpus that tests run (tests/corpus/rows)."""

from __future__ import annotations

from itertools import groupby

from tests.corpus.runner import Row, rows

HEAD = """\
# Refusals

What a user may get wrong, and what dgctl answers: the table that `tests/corpus` runs, {count} rows. Each starts from one
valid server in `[node]`, changes what the first column says, and runs `dgctl validate` unless it says otherwise. In none of them
dgctl prints a traceback or the API key, changes a file of the deployment, or exits with 1.
Exit codes: [exit-codes.md](exit-codes.md).

Inputs that nobody wrote down are tried by `bin/fuzz --tries 50000 --seed 31` (about 10 tries a second and core): text, YAML,
vaults and options mutated from these rows. A try that ends with exit 1, a traceback or an escape sequence is printed with its
number; `--first NUMBER` repeats it.
"""


def page() -> str:
    """The page, a table a group."""
    every = rows()
    parts = [HEAD.format(count=len(every))]
    for group, members in groupby(every, key=lambda row: row.group):
        parts.append(f"\n## {group.replace('_', ' ').capitalize()}\n\n| input | exit | says |\n|---|---|---|\n")
        parts += [f"| {_cell(_input(row))} | {row.exit} | {_cell(' … '.join(row.says))} |\n" for row in members]
    return "".join(parts)


def _input(row: Row) -> str:
    usual = row.command == "dgctl validate '{inv}'"
    return row.row + ("" if usual else f": `{row.command.strip()}`".replace("'{inv}'", "inventory.ini"))


def _cell(text: str) -> str:
    printed = "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in " ".join(text.split())
    )
    return printed.replace("|", "\\|").replace("<", "&lt;")
