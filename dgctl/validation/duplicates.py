"""What stands twice in one place, which Ansible merges in silence: hosts of a group, keys of a mapping."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from dgctl import content
from dgctl.base.errors import Problem
from dgctl.base.locate import shown
from dgctl.deployment.inventory_file import YAML_NAMES, kind
from dgctl.validation.context import Context

_MERGE = "tag:yaml.org,2002:merge"
_HEADING = re.compile(r"\[([^\]:]+)(?::(\w+))?\]")


def problems(context: Context) -> Iterator[Problem]:
    for path in context.deployment.files():
        if path.suffix in YAML_NAMES:
            yield from yaml_keys(path)
    inventory = context.deployment.inventory
    if kind(inventory, inventory.read_bytes()) == "ini":
        yield from ini_lines(inventory)


def ini_lines(path: Path) -> Iterator[Problem]:
    """Hosts named twice in one group, variables set twice in one section."""
    section, first = ("ungrouped", "hosts"), {}
    for number, raw in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if heading := _HEADING.match(line):
            section = (heading[1], heading[2] or "hosts")
            continue
        holds = section[1]
        name = line.split("=", 1)[0].strip() if holds == "vars" else line.split()[0]
        before = first.setdefault((*section, name), number)
        if before != number:
            what = {"vars": "variable", "children": "group", "hosts": "host"}.get(holds, "entry")
            yield _twice(what, name, f"[{section[0]}]", path, number, before)


def yaml_keys(path: Path) -> Iterator[Problem]:
    """Keys that stand twice in one mapping; encrypted and broken files are others' business."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.startswith("$ANSIBLE_VAULT"):
        return
    try:
        yield from [
            _twice("key", name, "one mapping", path, number, before) for name, number, before in _keys_twice(text)
        ]
    except yaml.YAMLError:
        return


def _keys_twice(text: str) -> Iterator[tuple[str, int, int]]:
    """(key, line, line of the first of this name) of each key that stands twice in its mapping."""
    root = yaml.compose(text, Loader=content.LOADER)
    todo: list[Any] = [root]
    met: set[int] = set()  # an alias leads to the same node again
    while todo:
        node = todo.pop()
        if id(node) in met or not isinstance(node, yaml.CollectionNode):
            continue
        met.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += reversed(node.value)
            continue
        first: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            todo.append(value)
            number = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if (key.tag, key.value) in first:
                    yield key.value, number, first[key.tag, key.value]
                first.setdefault((key.tag, key.value), number)


def _twice(what: str, name: str, place: str, path: Path, number: int, before: int) -> Problem:
    return Problem(
        f"the {what} stands twice in {place}",
        f"{shown(path)}:{number}",
        name,
        f"keep one of them (the first is near line {before}); the later one would win in silence",
    )
