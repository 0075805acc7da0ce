"""Where something was written: ansible-core's own origin of a value, or a search through the files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

try:  # ansible-core 2.19 remembers the origin of every value, but keeps the class that says so to itself
    from ansible._internal._datatag._tags import Origin
except ImportError:  # pragma: no cover - another ansible-core
    Origin = None


def shown(path: str | Path) -> str:
    """A path as a person here would type it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def origin(value: Any) -> tuple[str, int] | None:
    """(path, line) at which a value of an inventory was written, or None."""
    tag = (value if isinstance(value, Origin) else Origin.get_tag(value)) if Origin else None
    return (str(tag.path), tag.line_num or 0) if tag and tag.path else None


def where(value: Any) -> str:
    """`file:line` of a value of an inventory, or nothing."""
    found = origin(value)
    if not found:
        return ""
    path, line = found
    return f"{shown(path)}:{line}" if line else shown(path)


def line_of(path: Path, pattern: str) -> str:
    """`file:line` of the first line in which `pattern` is found, or the file."""
    found = re.compile(pattern)
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if found.search(line):
            return f"{shown(path)}:{number}"
    return shown(path)


def search(name: str, files: Iterable[Path]) -> str:
    """`file:line` of the first place that sets `name`, read as text; nothing when no file does."""
    setting = re.compile(rf"(?:^|[\s{{,]){re.escape(name)}\s*[:=]")
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for number, line in enumerate(lines, 1):
            if not line.lstrip().startswith(("#", ";")) and setting.search(line):
                return f"{shown(path)}:{number}"
    return ""
