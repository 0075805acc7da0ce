"""Licence servers: each server has somebody to ask, and a License Proxy exactly one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dgctl.base.errors import Problem
from dgctl.deployment.deployment import Host
from dgctl.validation.context import Context

_UPSTREAM, _SERVERS, _OF_PROXY = "deepgram_license_upstream", "deepgram_license_servers", "license_proxy_servers"


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        groups = set(host.groups)
        if groups & {"node", "api", "engine"} and _list(host, _SERVERS) == []:
            fix = f"set {_UPSTREAM}, or put a server into the group license_proxy"
            what = "no licence server: a server has nobody to ask for its licence"
            yield context.problem(host, _set(host, _SERVERS, _UPSTREAM), what, fix)
        if "license_proxy" not in groups:
            continue
        asked = _list(host, _OF_PROXY)
        at = _set(host, _OF_PROXY, _UPSTREAM)
        if asked == []:
            fix = f"set {_OF_PROXY} for the group license_proxy, or {_UPSTREAM}"
            yield context.problem(host, at, "no licence server: a License Proxy has nobody to ask", fix)
        elif asked and len(asked) > 1:
            fix = f"set {_OF_PROXY} for the group license_proxy to one of them"
            yield context.problem(host, at, "a License Proxy asks one server", fix, ", ".join(map(str, asked)))


def _list(host: Host, name: str) -> list[Any] | None:
    value = host.vars.get(name)
    return value if isinstance(value, list) and name not in host.unrendered else None


def _set(host: Host, *names: str) -> str:
    """The first of these variables that the inventory sets."""
    return next((name for name in names if name in host.written), names[0])
