"""The address of each server: one that can be one, and of no other server, over which it would be provisioned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from dgctl.base.errors import Problem
from dgctl.base.locate import line_of
from dgctl.deployment.deployment import Host
from dgctl.validation.context import Context


def problems(context: Context) -> Iterator[Problem]:
    first: dict[tuple[str, str], str] = {}
    for host in context.served:
        if host.vars.get("ansible_connection") == "local":
            continue
        if not {"ansible_host", "ansible_ssh_host"} & host.written.keys():
            yield from _name(context, host)
        other = first.setdefault((_same(host.address), str(host.port)), host.name)
        if other == host.name:
            continue
        where = context.deployment.where(host, "ansible_host") or host.name
        fix = f"give {host.name} its own ansible_host, or remove it"
        yield Problem(f"{host.name} and {other} have the same address", where, f"{host.address}:{host.port}", fix)


def _name(context: Context, host: Host) -> Iterator[Problem]:
    """Without ansible_host a server's name is its address."""
    for fault in context.faults("ansible_host", host.name):
        place = line_of(context.deployment.inventory, rf"(^|\s){re.escape(host.name)}")
        what = fault.what.replace("ansible_host", "a server's name, where it has no ansible_host,", 1)
        yield Problem(what, place, context.shown("ansible_host", (), host.name), fault.fix)


def _same(address: str) -> str:
    """One spelling of an address: 2001:DB8::1 is 2001:db8:0::1, GPU1.Example.com. is gpu1.example.com."""
    try:
        return str(ip_address(address.strip("[]")))
    except ValueError:
        return address.rstrip(".").lower()
