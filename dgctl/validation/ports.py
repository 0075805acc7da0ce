"""Ports of one server that two of its programs would listen on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from dgctl.base.errors import Problem
from dgctl.deployment.deployment import Host
from dgctl.validation.context import Context

_EVERY = ("0.0.0.0", "::", "")
_SSH = "ansible_port"

Listener = tuple[str, str, int]  # the variable with the port, the address, the port


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        for one, other in combinations(_listeners(context, host), 2):
            if one[2] == other[2] and _meet(one[1], other[1]):
                yield _problem(context, host, one[0], other[0], one[2])


def _listeners(context: Context, host: Host) -> list[Listener]:
    """What listens on the server, by the schema's `listens`: the parts that it runs, and the SSH server."""
    found = []
    for name, listens in context.listening.items():
        if listens.get("part", "") and listens["part"] not in context.parts(host):
            continue
        if name == _SSH and host.vars.get("ansible_connection") == "local":
            continue
        if not all(host.vars.get(other) == value for other, value in listens.get("when", {}).items()):
            continue
        address = host.vars.get(listens["address"], listens["address"])
        port = str(host.port if name == _SSH else host.vars.get(name))
        settled = name not in host.unrendered and listens["address"] not in host.unrendered
        if settled and port.isascii() and port.isdigit() and address != "":
            found.append((name, str(address), int(port)))
    return found


def _meet(one: str, other: str) -> bool:
    return one == other or one in _EVERY or other in _EVERY


def _problem(context: Context, host: Host, one: str, other: str, port: int) -> Problem:
    name, beside = (one, other) if one in host.written and one != _SSH else (other, one)
    ssh = "" if beside != _SSH else f" ({_SSH}: the SSH server listens there)"
    return context.problem(host, name, f"{name} and {beside} are the same port{ssh}", "give each its own", port)
