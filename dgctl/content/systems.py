"""Which operating systems are served, by the table of role platform; and which one a server has."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from dgctl import content


def table() -> dict[str, Any]:
    """The table of systems, by its keys; {} where the content has none."""
    return _table(content.root())


@functools.cache
def _table(root: Path) -> dict[str, Any]:
    return content.tables(root, "systems").get("_platform_systems", {})


def supported() -> Any:
    """plugins/module_utils/host/supported.py: which combinations the table of systems has."""
    return content.module(content.root(), "host.supported")


def facts(release: dict[str, str]) -> dict[str, str]:
    """What Ansible's facts would say of a system with these fields of os-release; {} for one that the table lacks.

    Equal systems get the same object.
    """
    return _facts(content.root(), tuple(sorted(release.items())))


@functools.cache
def _facts(root: Path, release: tuple[tuple[str, str], ...]) -> dict[str, str]:
    rows = list(_table(root).values())
    return content.module(root, "host.os_release").facts(rows, dict(release)) if rows else {}
