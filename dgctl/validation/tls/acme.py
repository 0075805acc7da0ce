"""A certificate from an ACME authority: what it asks for, names that it can sign, and how it can prove them.

Sources: RFC 8555 (sections 7.1.3, 7.3 and 8), letsencrypt.org/docs/challenge-types, roles/nginx_proxy/tasks/acme.yml.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path

from dgctl.base.errors import Problem
from dgctl.base.words import listed
from dgctl.deployment.deployment import Host
from dgctl.validation.context import PLACEHOLDER, Context, has
from dgctl.validation.tls.certificates import unreadable

SOURCE, PREFIX = "nginx_proxy_tls_source", "nginx_proxy_acme_"
NAMES, CHALLENGE, HOOK = f"{PREFIX}names", f"{PREFIX}challenge", f"{PREFIX}dns_hook"
EMAIL, TERMS, TRUST, PORT = f"{PREFIX}email", f"{PREFIX}agree_tos", f"{PREFIX}ca_file", f"{PREFIX}http_port"
SERVER_NAME, RULES = "nginx_proxy_server_name", "host_firewall_rules"


def problems(context: Context) -> Iterator[Problem]:
    ordering = [host for host in context.served if is_ordering(context, host)]
    for host in context.served:
        if host not in ordering:
            yield from _unread(context, host)
    for host in ordering:
        yield from _account(context, host)
        yield from _names(context, host)
        yield from _over_dns(context, host) if _challenge(host) == "dns-01" else _over_http(context, host)
        yield from _trust(context, host)
    yield from _shared(context, [host for host in ordering if _challenge(host) != "dns-01"])


def is_ordering(context: Context, host: Host) -> bool:
    """Whether the host's proxy has its certificate from an ACME authority."""
    return "proxy" in context.parts(host) and SOURCE not in host.unrendered and host.vars.get(SOURCE) == "acme"


def _challenge(host: Host) -> str:
    return str(host.vars.get(CHALLENGE) or "http-01")


def _unread(context: Context, host: Host) -> Iterator[Problem]:
    """Settings that nobody reads, where nothing says whether that is meant."""
    written = [name for name in host.written if name.startswith(PREFIX)]
    if written and SOURCE not in host.written and "proxy" in context.parts(host):
        what = f"{written[0]} is set, and {SOURCE} is not: no authority is asked"
        fix = f"set {SOURCE}: acme, or to files or self-signed where that is meant"
        yield context.problem(host, written[0], what, fix, host.vars[written[0]])


def _account(context: Context, host: Host) -> Iterator[Problem]:
    """What an account at the authority needs (RFC 8555, section 7.3)."""
    if not host.vars.get(EMAIL) and EMAIL not in host.unrendered:
        fix = f"set {EMAIL} to an address that is read"
        yield context.problem(host, _at(host, EMAIL), f"{SOURCE}: acme needs {EMAIL}", fix)
    if str(host.vars.get(TERMS)).lower() not in ("true", "yes", "on", "1") and TERMS not in host.unrendered:
        fix = f"read them (the directory names them as termsOfService), and set {TERMS}: true"
        yield context.problem(host, _at(host, TERMS), "nobody has agreed to the ACME authority's terms of service", fix)


def _at(host: Host, name: str) -> str:
    """The variable itself, or the one that made it needed."""
    return name if name in host.written else SOURCE


def _names(context: Context, host: Host) -> Iterator[Problem]:
    names, asked = _of(host), str(host.vars.get(SERVER_NAME) or "")
    at = NAMES if NAMES in host.written else SERVER_NAME if SERVER_NAME in host.written else SOURCE
    for name in names:
        if found := _refused(host, name):
            yield context.problem(host, at, found[0], found[1], name)
            return
    if names and asked and not has(asked, "{{") and not any(_covers(name, asked) for name in names):
        fix = f"add {asked} to {NAMES}, or set {SERVER_NAME} to one of them"
        yield context.problem(host, at, f"{NAMES} has not {SERVER_NAME} ({asked})", fix, listed(names))


def _of(host: Host) -> list[str]:
    names = host.vars.get(NAMES)
    if NAMES in host.unrendered or not isinstance(names, list) or has(names, "{{") or has(names, PLACEHOLDER):
        return []
    return [str(name).lower() for name in names]


def _refused(host: Host, name: str) -> tuple[str, str] | None:
    """(what, fix) of a name that no authority signs so."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        what = "certbot orders no certificate for an address"
        return what, f"set {SERVER_NAME} (or {NAMES}) to a name that DNS leads here, or {SOURCE} to self-signed"
    if name.startswith("*.") and _challenge(host) != "dns-01":
        return "a name with a star is proven by DNS alone", f"set {CHALLENGE}: dns-01 and {HOOK}, or give each name"
    if "." not in name.removeprefix("*.") and not host.vars.get(TRUST):
        what = "a public authority gives no certificate for a name without a domain"
        return (
            what,
            f"set {SERVER_NAME} to a full name, such as speech.example.com; for an authority of your own set {TRUST}",
        )
    return None


def _covers(name: str, asked: str) -> bool:
    """RFC 6125, section 6.4.3: a star stands for the leftmost label."""
    asked = asked.lower()
    return name == asked or (name.startswith("*.") and asked.partition(".")[2] == name[2:])


def _over_dns(context: Context, host: Host) -> Iterator[Problem]:
    path = str(host.vars.get(HOOK) or "")
    if HOOK in host.unrendered or has(path, "{{") or has(path, PLACEHOLDER):
        return
    fix = f"set {HOOK} to your program that sets the TXT record (docs/proxy.md shows one), or {CHALLENGE}: http-01"
    if not path:
        yield context.problem(host, _at(host, HOOK), f"{CHALLENGE}: dns-01 needs {HOOK}", fix)
    elif what := unreadable(path):
        yield context.problem(host, HOOK, what, fix, path)
    elif not os.access(Path(path).expanduser(), os.X_OK):
        yield context.problem(host, HOOK, "this program cannot be executed", f"chmod u+x {path}", path)
    elif not Path(path).expanduser().read_bytes().startswith(b"#!"):
        what = "this program does not say what runs it: the server may be another kind of machine"
        yield context.problem(host, HOOK, what, "begin it with #!/bin/sh, or #!/usr/bin/python3", path)


def _over_http(context: Context, host: Host) -> Iterator[Problem]:
    if host.vars.get(HOOK):
        what = f"{HOOK} is set, and {CHALLENGE} is http-01: nobody calls it"
        yield context.problem(host, HOOK, what, f"set {CHALLENGE}: dns-01, or leave the hook out", host.vars[HOOK])
    port, rules = str(host.vars.get(PORT)), host.vars.get(RULES)
    ruled = rules if isinstance(rules, list) and RULES not in host.unrendered else []
    if any(isinstance(rule, dict) and str(rule.get("port")) == port for rule in ruled):
        what = f"{RULES} closes port {port}, where the ACME authority asks"
        yield context.problem(host, RULES, what, f"take that rule out, or set {CHALLENGE}: dns-01", port)


def _trust(context: Context, host: Host) -> Iterator[Problem]:
    from cryptography import x509

    path = str(host.vars.get(TRUST) or "")
    if not path or TRUST in host.unrendered or has(path, "{{") or has(path, PLACEHOLDER):
        return
    fix = f"give a PEM file with the authority's certificate, or leave {TRUST} empty (those that the system trusts)"
    if what := unreadable(path):
        yield context.problem(host, TRUST, what, fix, path)
        return
    try:
        x509.load_pem_x509_certificates(Path(path).expanduser().read_bytes())
    except ValueError:
        yield context.problem(host, TRUST, "this file holds no PEM certificate", fix, path)


def _shared(context: Context, hosts: list[Host]) -> Iterator[Problem]:
    """One name of several servers: the authority's question reaches any of them, and only one has the token."""
    owners: dict[str, list[Host]] = {}
    for host in hosts:
        for name in dict.fromkeys(_of(host)):
            owners.setdefault(name, []).append(host)
    for name, several in owners.items():
        if len(several) > 1:
            host = several[0]
            at = NAMES if NAMES in host.written else SERVER_NAME if SERVER_NAME in host.written else SOURCE
            what = f"{listed([one.name for one in several])} share this name, and the ACME authority asks any of them (http-01)"
            fix = f"set {CHALLENGE}: dns-01 and {HOOK}, or give each server a name of its own ({SERVER_NAME})"
            yield context.problem(host, at, what, fix, name)
