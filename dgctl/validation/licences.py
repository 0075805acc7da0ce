"""Licence servers: each server has somebody to ask, and a License Proxy exactly one; behind an air gap nobody of Deepgram's.

Air gap: github: deepgram/self-hosted-resources, charts/deepgram-self-hosted/samples/airgapped.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dgctl import content
from dgctl.base.errors import Problem
from dgctl.deployment.deployment import Host
from dgctl.validation.context import PLACEHOLDER, Context, has
from dgctl.validation.secrets import encrypted
from dgctl.validation.tls.certificates import unreadable

_UPSTREAM, _SERVERS, _OF_PROXY = "deepgram_license_upstream", "deepgram_license_servers", "license_proxy_servers"
_GAP, _FILE = "deepgram_air_gap", "billing_license_file"
_ASKING = {"node": _SERVERS, "api": _SERVERS, "engine": _SERVERS, "license_proxy": _OF_PROXY}
_DEEPGRAM = "deepgram.com"


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        yield from _asked(context, host)
        yield from _outside(context, host)
        if "billing" in host.groups:
            yield from _of_billing(context, host)


def has_air_gap(host: Host) -> bool:
    """Whether this server may ask nobody outside: it follows from the group billing."""
    return _GAP not in host.unrendered and content.filters("deepgram_topology").is_true(host.vars.get(_GAP))


def _asked(context: Context, host: Host) -> Iterator[Problem]:
    groups = set(host.groups)
    if groups & {"node", "api", "engine"} and _list(host, _SERVERS) == []:
        fix = f"set {_UPSTREAM}, or put a server into the group license_proxy"
        what = "no licence server: a server has nobody to ask for its licence"
        yield context.problem(host, _set(host, _SERVERS, _UPSTREAM), what, fix)
    if "license_proxy" not in groups:
        return
    asked = _list(host, _OF_PROXY)
    at = _set(host, _OF_PROXY, _UPSTREAM)
    if asked == []:
        fix = f"set {_OF_PROXY} for the group license_proxy, or {_UPSTREAM}"
        yield context.problem(host, at, "no licence server: a License Proxy has nobody to ask", fix)
    elif asked and len(asked) > 1:
        fix = f"set {_OF_PROXY} for the group license_proxy to one of them"
        yield context.problem(host, at, "a License Proxy asks one server", fix, ", ".join(map(str, asked)))


def _outside(context: Context, host: Host) -> Iterator[Problem]:
    """Deepgram's own licence servers behind an air gap: named, or asked because nobody else is there."""
    names = dict.fromkeys(name for group, name in _ASKING.items() if group in host.groups)
    if not names or not has_air_gap(host):
        return
    for name in (*([_UPSTREAM] if _UPSTREAM in host.written else []), *names):
        outside = [str(one) for one in _list(host, name) or () if name == _UPSTREAM or _is_deepgram(str(one))]
        if outside:
            what = "behind an air gap nobody can ask Deepgram's licence servers"
            written = name in host.written
            fix = f"put a server into the group billing, or set {name} to the https:// URL of your Billing"
            fix = f"take {', '.join(outside)} out of {name}" if written else fix
            yield context.problem(host, name if written else _GAP, what, fix, ", ".join(outside))
            return


def _is_deepgram(url: str) -> bool:
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:  # brackets without an address of IPv6: no URL, which the variable's own form says
        return False
    return name == _DEEPGRAM or name.endswith(f".{_DEEPGRAM}")


def _of_billing(context: Context, host: Host) -> Iterator[Problem]:
    if _GAP not in host.unrendered and not has_air_gap(host):
        fix = f"take {_GAP} out: it follows from the group billing"
        yield context.problem(host, _GAP, f"Billing runs, and nobody asks it: {_GAP} is false", fix, "false")
    path = str(host.vars.get(_FILE) or "")
    if _FILE in host.unrendered or has(path, "{{") or has(path, PLACEHOLDER):
        return
    if what := _wrong_file(path):
        fix = f"set {_FILE} to the file license.dg, as Deepgram gave it to you, on this machine"
        fix = f"chmod 600 {path}, or better: ansible-vault encrypt {path}" if "others can read" in what else fix
        yield context.problem(host, _FILE, what, fix, path)


def _wrong_file(path: str) -> str:
    """What is wrong with a licence file; what a vault holds is not opened."""
    if not path:
        return "Billing has no licence file"
    if what := unreadable(path):
        return what
    file = Path(os.path.expanduser(path))
    if encrypted(file):
        return ""
    lines = file.read_bytes().strip().splitlines()
    if len(lines) != 1:
        return "the licence file has more than one line" if lines else "the licence file is empty"
    return "the licence file is a secret that others can read" if file.stat().st_mode & 0o077 else ""


def _list(host: Host, name: str) -> list[Any] | None:
    value = host.vars.get(name)
    return value if isinstance(value, list) and name not in host.unrendered else None


def _set(host: Host, *names: str) -> str:
    """The first of these variables that the inventory sets."""
    return next((name for name in names if name in host.written), names[0])
