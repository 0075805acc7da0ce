"""For whom a port is: one that is opened to the network without a rule that says who may reach it; and audio in clear."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from dgctl.base.errors import Problem
from dgctl.deployment.deployment import PROXIES, SERVING, Host
from dgctl.validation.context import Context

RULES, OF_ENGINES = "host_firewall_rules", "deepgram_"
PART = {"deepgram_api_port": "API", "deepgram_engine_port": "Engine", "deepgram_metrics_port": "metrics"}


def problems(context: Context) -> Iterator[Problem]:
    """Neither API nor Engine nor licence proxy asks who calls: a port of theirs is for servers that a rule names."""
    for host in context.served:
        if opened := list(_open(context, host)):
            rules = host.vars.get(RULES)  # asked last: they follow from all servers' addresses, which takes long
            if isinstance(rules, list) and RULES not in host.unrendered:
                ruled = {str(rule.get("port")) for rule in rules if isinstance(rule, dict)}
                yield from (_unruled(context, host, *one) for one in opened if one[2] not in ruled)


def _open(context: Context, host: Host) -> Iterator[tuple[str, str, str]]:
    """(the port's variable, its address's, port) of what listens for other servers too."""
    for name, listens in context.listening.items():
        address = listens["address"]
        several = name.startswith(OF_ENGINES) and host.vars.get("deepgram_engines")  # each has ports of its own
        runs = listens.get("part") in context.parts(host)
        if not runs or several or not {address, name}.isdisjoint(host.unrendered):
            continue
        if _opens(host.vars.get(address)):
            yield name, address, str(host.vars.get(name))


def _unruled(context: Context, host: Host, name: str, address: str, port: str) -> Problem:
    rule = f"{{name: {PART.get(name, 'port')}, port: {port}, sources: [ADDRESS]}}"
    fix = f"add {rule} to {RULES}, or leave {address if address in host.written else RULES} out"
    what = f"{address} opens port {port} to whoever reaches the server: no rule of {RULES} is about it"
    return context.problem(host, address if address in host.written else RULES, what, fix, host.vars[address])


def _opens(address: Any) -> bool:
    try:
        return not ipaddress.ip_address(str(address)).is_loopback
    except ValueError:
        return False


def hints(context: Context) -> Iterator[tuple[str, Problem]]:
    """(server, hint) of each whose API is asked by a proxy of another server: NGINX speaks plain HTTP with it."""
    proxies = context.deployment.members(PROXIES)
    what = "audio and transcripts cross the network in clear between the proxies and this server's API"
    fix = "let that network be yours alone (a VLAN, WireGuard); or leave [proxy] out: then each server has its own"
    for name in context.deployment.members(*SERVING) if proxies else []:
        if set(proxies) - {name}:
            yield name, Problem(what, fix=fix)
