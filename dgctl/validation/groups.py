"""Groups: at least one server in a group that dgctl knows, and none that has nothing to do its work with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dgctl.base.errors import Problem
from dgctl.base.locate import line_of, shown
from dgctl.base.names import nearest
from dgctl.deployment.deployment import GROUPS, SERVING
from dgctl.deployment.inventory_file import YAML_NAMES
from dgctl.validation.context import Context

EXCLUSIVE = {
    (
        "node",
        "api",
        "engine",
    ): "leave it in one of them; a server that runs both API and Engine belongs into [node] alone",
    # A License Proxy remembers licences for the time when Billing does not answer: on one server they would go together.
    ("license_proxy", "billing"): "put them on two servers, or do without [license_proxy]",
}


def problems(context: Context) -> Iterator[Problem]:
    deployment = context.deployment
    inventory = deployment.inventory
    if not deployment.hosts:
        fix = "name at least one server under [node]: gpu1 ansible_host=ADDRESS"
        yield Problem("the inventory names no server", shown(inventory), fix=fix)
        return
    filled = {name for name, hosts in deployment.groups.items() if hosts} - {"all", "ungrouped"}
    yield from _names(context)
    yield from _both(context)
    yield from _halves(context)
    yield from _unknown(context, filled)
    yield from _files(context)


def _names(context: Context) -> Iterator[Problem]:
    """Servers called like a group: Ansible could not tell which of them a pattern means."""
    for name in context.deployment.hosts:
        if name in (*context.deployment.groups, *GROUPS):
            place = line_of(context.deployment.inventory, rf"^\s*{re.escape(name)}\s*(:|=|\s|$)(?!.*\])")
            fix = f"call the server otherwise, such as {name}1"
            yield Problem("a server has the name of a group", place, name, fix)


def _both(context: Context) -> Iterator[Problem]:
    """Servers in two groups of which each says that it is something else."""
    for host in context.served:
        for exclusive, fix in EXCLUSIVE.items():
            found = [name for name in exclusive if name in host.groups]
            if len(found) > 1:
                listed = " and ".join(f"[{name}]" for name in found)
                place = _place(context.deployment.inventory, found[-1])
                yield Problem(f"{host.name} is in {listed}, which exclude each other", place, host.name, fix)


def _halves(context: Context) -> Iterator[Problem]:
    """APIs without an Engine, Engines without an API, proxies and monitoring of nothing: none of them serves."""
    inventory = context.deployment.inventory
    for group, needed in (
        ("api", ("engine",)),
        ("engine", ("api",)),
        *((group, SERVING) for group in ("proxy", "monitoring", "billing")),
    ):
        if context.deployment.groups.get(group) and not context.deployment.members(*needed):
            others = " or ".join(f"[{name}]" for name in needed)
            fix = f"name servers under {others}, or use [node] for servers that run both"
            yield Problem(f"nothing serves [{group}]: {others} is empty", _place(inventory, group), f"[{group}]", fix)


def _files(context: Context) -> Iterator[Problem]:
    """Variable files of a group whose name is a slip: Ansible would not read them, and say nothing."""
    known = [*context.deployment.groups, *GROUPS]
    for path in sorted((context.deployment.folder / "group_vars").glob("[!.]*")):
        near = nearest(path.stem, known, cutoff=0.75)
        if path.stem not in known and near and path.suffix in ("", *YAML_NAMES):
            yield Problem(
                "variables for a group that is not in the inventory", shown(path), path.stem, f"did you mean {near}?"
            )


def _unknown(context: Context, filled: set[str]) -> Iterator[Problem]:
    """Hosts that no known group holds: an error when the group's name is a slip, or when nothing is left."""
    deployment = context.deployment
    served = {host.name for host in context.served}
    slips = 0
    for name in sorted(filled - set(GROUPS)):
        near = nearest(name, GROUPS)
        if near and not set(deployment.groups[name]) & served:
            slips += 1
            place = _place(deployment.inventory, name)
            yield Problem("dgctl knows no group of this name", place, f"[{name}]", f"did you mean [{near}]?")
    if not served and not slips:
        hosts = ", ".join(list(deployment.hosts)[:5])
        fix = "put the servers that run Deepgram under [node]"
        yield Problem("no server is in a group that dgctl knows", shown(deployment.inventory), hosts, fix)


def _place(inventory: Path, group: str) -> str:
    """`file:line` of a group's heading, INI or YAML."""
    name = re.escape(group)
    return line_of(inventory, rf"^\s*(\[{name}[\]:]|{name}:\s*$)")
