"""Two names for one server: the second would be provisioned over the first."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from dgctl.errors import Problem
from dgctl.validation.context import Context


def problems(context: Context) -> Iterator[Problem]:
    first: dict[tuple[str, str], str] = {}
    for host in context.served:
        if host.vars.get("ansible_connection") == "local":
            continue
        other = first.setdefault((_same(host.address), str(host.port)), host.name)
        if other == host.name:
            continue
        where = context.deployment.where(host, "ansible_host") or host.name
        fix = f"give {host.name} its own ansible_host, or remove it"
        yield Problem(f"{host.name} and {other} have the same address", where, f"{host.address}:{host.port}", fix)


def _same(address: str) -> str:
    """One spelling of an address: 2001:DB8::1 is 2001:db8:0::1, GPU1.Example.com. is gpu1.example.com."""
    try:
        return str(ip_address(address.strip("[]")))
    except ValueError:
        return address.rstrip(".").lower()
