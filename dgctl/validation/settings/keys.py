"""What is known of the keys of Deepgram's files (keys.yml): their types, and the nearest of them to one that is unknown."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from dgctl.base.names import nearest

TABLE = "table"
OPEN = "open"
Path_ = tuple[str | int, ...]


@functools.cache
def _table() -> dict[str, Any]:
    return yaml.safe_load(Path(__file__).with_name("keys.yml").read_text(encoding="utf-8"))


@functools.cache
def types(file: str) -> dict[str, str]:
    """Dotted key -> type of `file` (api, engine, license_proxy, billing); tables that hold keys are of type "table"."""
    known = _table()[file]
    tables = {key[: dot.start()] for key in known for dot in re.finditer(r"(?:\[\])?\.", key)}
    lists = {key[: dot.start()] for key in known for dot in re.finditer(r"\[\]\.", key)}
    return dict.fromkeys(tables, TABLE) | dict.fromkeys(lists, "list") | known


@functools.cache
def limits(file: str) -> dict[str, str]:
    """The last word of each key that limits -> the key."""
    return {key.rpartition(".")[2]: key for key in _table()["limits"][file]}


def leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """(path, value) of every value, tables and lists too."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, (*path, number))


def dotted(path: Path_, number: str = "") -> str:
    """`driver_pool.standard[0].url`; with `number` in place of each number."""
    text = "".join(f".{step}" if isinstance(step, str) else number or f"[{step}]" for step in path)
    return text.removeprefix(".")


def unknown(file: str, settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[Path_, Any]]:
    """(path, value) of what the table does not have; of a table that is unknown the table alone."""
    known, strange = types(file), []
    for path, value in leaves(settings):
        if isinstance(path[-1], int) or any(path[: len(one)] == one for one in strange):
            continue
        key = prefix + dotted(path, "[]")
        if key not in known and not _is_open(known, key):
            strange.append(path)
            yield path, value


def _is_open(known: dict[str, str], key: str) -> bool:
    """Whether a key lies in one whose content is free."""
    return any(known.get(key[: dot.start()]) == OPEN for dot in re.finditer(r"(?:\[\])?\.", key))


def misplaced_limits(file: str, settings: dict[str, Any]) -> Iterator[tuple[Path_, str]]:
    """(path, the key's own place) of limits that stand in a known table, where the program does not read them."""
    known = types(file)
    for path, _value in leaves(settings):
        *above, word = path
        place = limits(file).get(str(word))
        table = dotted(tuple(above), "[]")
        if place and dotted(path, "[]") != place and (not table or known.get(table) == TABLE):
            yield path, place


def nearest_to(file: str, path: Path_, prefix: str = "") -> str:
    """The known key most like an unknown one, as it is written in the variable: one of its name first, then a slip of it."""
    known = [key[len(prefix) :] for key, kind in types(file).items() if key.startswith(prefix) and kind != TABLE]
    word = str(path[-1])
    same = [key for key in known if re.split(r"\.|\[\]", key)[-1] == word]
    slip = nearest(dotted(path, "[]"), [*known, *_tables(file, prefix)], 0.7)
    by_word = nearest(word, {key.rpartition(".")[2] for key in known}, 0.8)
    return same[0] if same else slip or next((key for key in known if key.rpartition(".")[2] == by_word), "")


def _tables(file: str, prefix: str) -> list[str]:
    return [key[len(prefix) :] for key, kind in types(file).items() if key.startswith(prefix) and kind == TABLE]
