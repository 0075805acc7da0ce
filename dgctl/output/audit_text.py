"""The audit for people: a section for what all share, and one a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dgctl.base.words import count, listed


def lines(audit: dict[str, Any], hosts: dict[str, dict[str, Any]]) -> list[str]:
    """`audit`: that of the deployment; `hosts`: name -> what was found there."""
    return [
        *_shared(audit),
        *(line for name, found in hosts.items() for line in _server(name, found)),
        *_concerns(audit),
    ]


def _shared(audit: dict[str, Any]) -> Iterator[str]:
    yield "WHO MAY CALL"
    yield from (f"  {name:<18} {reported}" for name, reported in audit["callers"].items())
    for key in audit["keys"]:
        age = "age unknown" if key["age_days"] is None else f"{count(key['age_days'], 'day')} old"
        yield f"  key {key['name']:<14} {age}"
    yield "SECRETS ON THIS MACHINE"
    for file in audit["controller"]:
        yield f"  {file['path']:<40} {file['mode']}  {'encrypted' if file['encrypted'] else 'in clear'}"
    if not audit["controller"]:
        yield "  none"


def _server(name: str, found: dict[str, Any]) -> Iterator[str]:
    yield name.upper() if name.islower() else name
    for row in found.get("listens", []):
        at = f"{row['protocol']} {_at(row)}"
        yield f"  listens      {at:<28} {row['program'] or '-':<16} {row['for']}"
    for row in found.get("published", []):
        at = f"{_at(row)} -> {row['inside']}"
        yield f"  published    {at:<28} {row['container']:<16} {row['for']}"
    for row in found.get("secrets", []):
        at = f"{row['mode']} {row['owner']}:{row['group']}, {count(row['age_days'], 'day')} old"
        yield f"  secret       {row['path']:<45} {at}"
    for row in found.get("certificates", []):
        ends = "end unknown" if row["days_left"] is None else f"{count(row['days_left'], 'day')} left"
        yield f"  certificate  {row['path']:<45} {'self-signed, ' if row['self_signed'] else ''}{ends}"
    for name_, reference in sorted((found.get("images") or {}).items()):
        yield f"  image        {name_:<22} {reference}"
    for file, sha256 in sorted((found.get("models") or {}).items()):
        yield f"  model        {file:<45} sha256 {sha256}"
    yield from (f"  unpinned     {text}" for text in found.get("unpinned", []))
    if found.get("firewall") is not None:
        yield f"  firewall     {'in force' if found['firewall'] else 'NOT in force'}"


def _at(row: dict[str, Any]) -> str:
    return f"[{row['address']}]:{row['port']}" if ":" in str(row["address"]) else f"{row['address']}:{row['port']}"


def _concerns(audit: dict[str, Any]) -> Iterator[str]:
    yield "CONCERNS"
    for concern in audit["concerns"]:
        yield f"  {concern['what']} ({listed(concern['hosts'])})" if concern["hosts"] else f"  {concern['what']}"
    if not audit["concerns"]:
        yield "  none"
