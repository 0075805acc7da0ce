"""Who may call: names that meet, an authority that is missing, and proxies that serve whoever reaches them."""

from __future__ import annotations

import ipaddress
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from dgctl.base.errors import Problem
from dgctl.base.locate import shown
from dgctl.deployment.deployment import Host
from dgctl.validation.context import Context

CALLERS, KEYS, AUTHORITY = "nginx_proxy_callers", "nginx_proxy_keys", "nginx_proxy_client_ca"
OF_CERTIFICATES = ("certificates", "either", "both")


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        accepted, authority = host.vars.get(CALLERS), str(host.vars.get(AUTHORITY) or "")
        if accepted in OF_CERTIFICATES and not authority:
            fix = f"set {AUTHORITY} to a PEM file on this machine, or {CALLERS} to keys"
            yield context.problem(
                host, CALLERS, f"{CALLERS} needs an authority of callers' certificates", fix, accepted
            )
        elif authority and "{{" not in authority and (what := _no_authority(authority)):
            yield context.problem(host, AUTHORITY, what, "give a PEM file with the authority's certificate", authority)
        yield from _same_key(context, host)


def _no_authority(path: str) -> str:
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(Path(os.path.expanduser(path)).read_bytes())
    except OSError as error:
        return f"this file cannot be read: {error.strerror}"
    except ValueError:
        return "this file holds no PEM certificate"
    return ""


def _same_key(context: Context, host: Host) -> Iterator[Problem]:
    """Two names of one key: the log could tell only one of them."""
    keys = host.vars.get(KEYS)
    seen: dict[str, str] = {}
    for name, key in (keys if isinstance(keys, dict) else {}).items():
        digest = str(key.get("sha256")) if isinstance(key, dict) else ""
        if digest and digest in seen:
            fix = f"dgctl keys INVENTORY revoke {name}, and add it again"
            yield context.problem(host, KEYS, f"{seen[digest]} and {name} have the same key", fix)
        seen.setdefault(digest, str(name))


def hints(context: Context) -> Iterator[tuple[str, Problem]]:
    """(host, what it works without and should not): the exposed ones of which no variable says that they are meant so."""
    return (pair for pair in exposed(context) if CALLERS not in context.deployment.hosts[pair[0]].written)


def exposed(context: Context) -> Iterator[tuple[str, Problem]]:
    """(host, hint) of each proxy of a public address that serves whoever reaches it."""
    what = "whoever reaches this proxy may transcribe on your licence: callers show no key"
    inventory = shlex.quote(shown(context.deployment.inventory))
    fix = f"dgctl keys {inventory} add NAME; or set nginx_proxy_allow, or {CALLERS}: open behind a firewall of yours"
    for host in context.served:
        if is_open(host) and "proxy" in context.parts(host) and _is_public(host):
            yield host.name, Problem(what, fix=fix)


def is_open(host: Host) -> bool:
    """Whether whoever reaches the host's proxy may transcribe."""
    return host.vars.get(CALLERS) == "open" and not host.vars.get("nginx_proxy_allow")


def _is_public(host: Host) -> bool:
    """An address of the internet, or a name under a domain: where it leads only DNS knows."""
    try:
        return ipaddress.ip_address(host.address).is_global
    except ValueError:
        return "." in host.address.strip(".")
