"""What Ansible drops from an inventory without an error: keys of a group that mean nothing, ranges that name nobody."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from dgctl import content
from dgctl.base.errors import Problem
from dgctl.base.locate import shown
from dgctl.base.names import nearest

_KEYS = ("hosts", "vars", "children")
_RANGE = re.compile(r"^[^\s=]*\[(\d+):(\d+)(?::\d+)?\]")


def problems(kind: str, path: Path, text: str) -> Iterator[Problem]:
    """Each with its line; nothing for scripts and plugins, whose files hold no servers."""
    if kind == "ini":
        yield from _ranges(path, text)
    elif kind == "yaml":
        with contextlib.suppress(yaml.YAMLError):  # Ansible read it as INI, in spite of its name
            yield from _groups(path, yaml.compose(text, Loader=content.LOADER), set())


def _ranges(path: Path, text: str) -> Iterator[Problem]:
    for number, line in enumerate(text.splitlines(), 1):
        found = _RANGE.match(line.strip())
        if found and int(found[1]) > int(found[2]) and not line.lstrip().startswith("["):
            fix = f"write the smaller number first: [{found[2]}:{found[1]}]"
            yield Problem("this range names no server", f"{shown(path)}:{number}", found[0], fix)


def _groups(path: Path, node: Any, seen: set[int]) -> Iterator[Problem]:
    """The groups of a mapping of groups, and those below them; an alias is followed once."""
    if not isinstance(node, yaml.MappingNode) or id(node) in seen:
        return
    seen.add(id(node))
    for name, group in node.value:
        for key, below in group.value if isinstance(group, yaml.MappingNode) else ():
            if key.value == "children":
                yield from _groups(path, below, seen)
            elif key.value not in (*_KEYS, "<<"):
                yield _unknown(path, name.value, key)


def _unknown(path: Path, group: str, key: Any) -> Problem:
    near = nearest(str(key.value), _KEYS)
    fix = f"did you mean {near}?" if near else f"put it below hosts, vars or children of {group}"
    what = f"the group {group} holds hosts, vars and children alone, and Ansible drops the rest"
    return Problem(what, f"{shown(path)}:{key.start_mark.line + 1}", str(key.value), fix)
