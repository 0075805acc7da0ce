"""What no system has, and settings of packages that contradict each other: as far as the inventory alone tells."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dgctl import content
from dgctl.base.errors import Problem
from dgctl.content import drivers, systems
from dgctl.deployment.deployment import WITH_GPU, Host
from dgctl.validation.context import Context

KEYS = ("nvidia_driver_repository_key", "docker_repository_key", "nvidia_container_toolkit_repository_key")
ARMOR = "BEGIN PGP PUBLIC KEY BLOCK"


def problems(context: Context) -> Iterator[Problem]:
    rows = list(systems.table().values())
    for host in context.served:
        for name in KEYS:
            yield from _key(context, host, name)
        if rows and set(host.groups) & set(WITH_GPU):
            yield from _driver(context, host, rows)


def _driver(context: Context, host: Host, rows: list[dict[str, Any]]) -> Iterator[Problem]:
    source, branch = (_text(host, f"nvidia_driver_{name}") for name in ("source", "branch"))
    if source == "distribution" and _text(host, "nvidia_driver_repository_url"):
        name = "nvidia_driver_repository_url"
        what = "the driver comes from the distribution, and a repository is given for it too"
        fix = f"remove {name}, or set nvidia_driver_source to nvidia, which a mirror takes the place of"
        yield context.problem(host, name, what, fix, host.vars[name])
    if source not in ("nvidia", "distribution") or branch not in drivers.tables(content.root()).get(
        "_platform_branches", {}
    ):
        return  # the business of types.py and drivers.py
    found = systems.supported().anywhere(rows, source, branch)
    if found:
        name = "nvidia_driver_branch" if "nvidia_driver_branch" in host.written else "nvidia_driver_source"
        yield context.problem(host, name, found[0], found[1], host.vars.get(name))


def _key(context: Context, host: Host, name: str) -> Iterator[Problem]:
    """A repository's key is armored text, or a file on this machine that holds such."""
    given = _text(host, name)
    if not given or ARMOR in given or "{{" in given:
        return
    path = Path(os.path.expanduser(given))
    if "\n" in given or not path.is_file():
        fix = f"give the key as ASCII text (-----{ARMOR}-----), or the path of a file on this machine that holds it"
        yield context.problem(host, name, f"{name} is neither a key nor a file", fix, given[:60])
    elif ARMOR not in path.read_text(encoding="utf-8", errors="replace"):
        fix = f"write it as text: gpg --enarmor < {path} does, or gpg --armor --export"
        yield context.problem(host, name, "this file holds no ASCII-armored key", fix, str(path))


def _text(host: Host, name: str) -> str:
    return "" if name in host.unrendered else str(host.vars.get(name) or "")
