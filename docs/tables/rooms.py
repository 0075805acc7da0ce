"""The picture of dgctl's rooms in docs/architecture.md, drawn from the imports."""

from __future__ import annotations

import tomllib
from itertools import product
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PAGE = PROJECT / "docs/architecture.md"
BEGIN, END = "<!-- rooms: written by docs/generate.py -->\n", "<!-- end of rooms -->\n"


def order() -> list[str]:
    """The rooms from above, by the contract that import-linter holds."""
    (contract,) = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return contract["layers"]


def arrows() -> dict[tuple[str, str], int]:
    """(room, room that it imports from) -> how many modules of the first do."""
    import grimp

    graph = grimp.build_graph("dgctl")
    found = {}
    for upper, lower in product(order(), repeat=2):
        if upper != lower:
            imports = graph.find_modules_that_directly_import
            lowers = {f"dgctl.{lower}", *graph.find_descendants(f"dgctl.{lower}")}
            uppers = {f"dgctl.{upper}", *graph.find_descendants(f"dgctl.{upper}")}
            users = {user for module in lowers for user in imports(module)} & uppers
            if users:
                found[upper, lower] = len(users)
    return found


def page() -> str:
    """The page, its picture as the imports are now."""
    text = PAGE.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return before + BEGIN + picture() + END + after


def picture() -> str:
    """A graph as Mermaid draws it: what can be reached through another room is left out; and a table."""
    found = arrows()
    rooms = [room for room in order() if room != "__main__"]
    direct = [pair for pair in found if not _has_way_round(found, *pair) and "__main__" not in pair]
    graph = "".join(f"    {upper} --> {lower}\n" for upper, lower in direct)
    rows = "".join(
        f"| `{room}` | {_about(room)} | {', '.join(f'`{to}` {number}' for (of, to), number in found.items() if of == room)} |\n"
        for room in rooms
    )
    return (
        f"\n```mermaid\ngraph TD\n{graph}```\n\nAn arrow that another way makes superfluous is left out; the table has all "
        f"{len(found)}, each with the number of files.\n\n| room | what is in it | imports from |\n|---|---|---|\n{rows}\n"
    )


def _about(room: str) -> str:
    file = PROJECT / "dgctl" / room / "__init__.py"
    text = (file if file.is_file() else PROJECT / "dgctl" / f"{room}.py").read_text()
    return text.split('"""')[1].splitlines()[0].rstrip(".")


def _has_way_round(found: dict[tuple[str, str], int], upper: str, lower: str) -> bool:
    """Whether `lower` is reached from `upper` through a third room."""
    return any(of == upper and to != lower and (to, lower) in found for of, to in found)
