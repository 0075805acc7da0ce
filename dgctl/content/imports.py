"""Which module utilities a plugin imports, in each form that Ansible's own packaging follows; nothing is run."""

from __future__ import annotations

import ast
import contextlib
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

# Alone they are parsed in a tenth of the time of their files, of which each start of dgctl reads a hundred. A line of a
# docstring that could be one counts, which harms nobody.
_STATEMENT = re.compile(
    r"^[ \t]*((?:from[ \t]+[\w.]+[ \t]+)?import\b(?:[ \t]*\([^)]*\)|[^\n\\]*(?:\\\n[^\n\\]*)*))", re.MULTILINE
)

# What `ansible-doc` shows of a module.
_PAGE = re.compile(r'^(?:DOCUMENTATION|EXAMPLES|RETURN) = r?""".*?"""\n', re.MULTILINE | re.DOTALL)

# A filter loads the one beside it by its path: Ansible gives filters no package to import from.
_BESIDE = re.compile(r"with_name\(\"(\w+\.py)\"\)")

_PACKAGE = ("ansible", "module_utils")
# A collection's own: ansible_collections.NAMESPACE.NAME.plugins.module_utils
_COLLECTION, _IN_COLLECTION = "ansible_collections", ("plugins", "module_utils")


def imported(path: Path, folder: Path) -> frozenset[Path]:
    """The files in `folder` (plugins/module_utils) that a source imports, with the `__init__.py` of their packages.

    Forms: `import ansible.module_utils.a.b`, `from ansible.module_utils.a import b`, the same of a collection, and relative
    ones. `b` may be a module or a name of a's. A filter beside it counts that it loads with `with_name("b.py")`.
    """
    return _imported(path.read_text(encoding="utf-8"), path, folder)


@functools.lru_cache(maxsize=1024)  # the closures of modules overlap
def _imported(text: str, path: Path, folder: Path) -> frozenset[Path]:
    names = [name for _, _, names in _statements(text, path.parent, folder) for name in names]
    beside = {path.with_name(name) for name in _BESIDE.findall(text)}
    return frozenset({*beside, *(file for name in names for file in files_of(name, folder))} - {path})


def closure(paths: Iterable[Path], folder: Path) -> list[Path]:
    """These files and all that they import from `folder`, by path."""
    found: set[Path] = set()
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imported(path, folder) - found
    return sorted(found)


def meaning(path: Path, folder: Path) -> bytes:
    """What a source does: neither where the module utilities lie that it imports, nor what a module's page says.

    Each such statement becomes the names that it gives. A file that is no Python is taken as it is.
    """
    if path.suffix != ".py":
        return path.read_bytes()
    text = path.read_text(encoding="utf-8")
    for (begin, end), given, _ in reversed(_statements(text, path.parent, folder)):
        text = f"{text[:begin]}import {', '.join(sorted(given))}{text[end:]}"
    return _PAGE.sub("", text).encode()


# The place of a statement in its text, the names that it gives, and what it may mean: parts of names below module_utils.
_Statement = tuple[tuple[int, int], tuple[str, ...], list[tuple[str, ...]]]


@functools.lru_cache(maxsize=512)  # most utilities are of several roles
def _statements(text: str, place: Path, folder: Path) -> list[_Statement]:
    """Each statement that imports module utilities, in a source that lies in `place`."""
    found: list[_Statement] = []
    for statement in _STATEMENT.finditer(text):
        with contextlib.suppress(SyntaxError):
            (node,) = ast.parse(statement[1]).body
            names = _names(node, place, folder) if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            if names:
                given = tuple(alias.asname or alias.name.rpartition(".")[2] for alias in node.names)
                found.append((statement.span(1), given, names))
    return found


def _names(node: ast.Import | ast.ImportFrom, place: Path, folder: Path) -> list[tuple[str, ...]]:
    if isinstance(node, ast.Import):
        return [below for alias in node.names if (below := _below(tuple(alias.name.split("."))))]
    base = _relative(node, place, folder) if node.level else _below(tuple((node.module or "").split(".")))
    return [] if base is None else [(*base, alias.name) for alias in node.names]


def _below(parts: tuple[str, ...]) -> tuple[str, ...] | None:
    """The part of an absolute name that is below module_utils; None for another name."""
    if parts[:2] == _PACKAGE:
        return parts[2:]
    if parts[:1] == (_COLLECTION,) and parts[3:5] == _IN_COLLECTION:
        return parts[5:]
    return None


def _relative(node: ast.ImportFrom, place: Path, folder: Path) -> tuple[str, ...] | None:
    """The same of a relative import, which counts from the folder of its source."""
    for _ in range(node.level - 1):
        place = place.parent
    place = place.joinpath(*(node.module or "").split("."))
    return place.relative_to(folder).parts if place.is_relative_to(folder) else None


def files_of(parts: tuple[str, ...], folder: Path) -> Iterator[Path]:
    """The files of a dotted name: its packages' and its own; the last part may be a name in the module before it."""
    place = folder
    for part in parts:
        if (place / f"{part}.py").is_file():
            yield place / f"{part}.py"
            return
        place = place / part
        if not (place / "__init__.py").is_file():
            return
        yield place / "__init__.py"
