"""What stands twice in one place, which Ansible merges in silence: hosts of a group, keys of a mapping."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dgctl.errors import Problem
from dgctl.inventory_file import YAML_NAMES, kind
from dgctl.locate import shown
from dgctl.validation.context import Context

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
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import YAMLError

    text = path.read_text(encoding="utf-8", errors="replace")
    if text.startswith("$ANSIBLE_VAULT"):
        return
    try:
        YAML().load(text)
    except DuplicateKeyError as error:
        found = re.search(r'key "(.*?)"', str(error.problem))
        number = error.problem_mark.line + 1
        before = error.context_mark.line + 1 if error.context_mark else 0
        yield _twice("key", found[1] if found else "", "one mapping", path, number, before)
    except YAMLError:
        return


def _twice(what: str, name: str, place: str, path: Path, number: int, before: int) -> Problem:
    return Problem(
        f"the {what} stands twice in {place}",
        f"{shown(path)}:{number}",
        name,
        f"keep one of them (the first is near line {before}); the later one would win in silence",
    )
