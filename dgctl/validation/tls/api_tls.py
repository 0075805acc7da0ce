"""TLS of the API itself: the user's three files fit each other and the name by which NGINX knows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dgctl import content
from dgctl.base.errors import Problem
from dgctl.base.words import listed
from dgctl.deployment.deployment import Host
from dgctl.validation.context import PLACEHOLDER, Context, has
from dgctl.validation.tls import certificates

SWITCH, NAME = "deepgram_api_tls", "deepgram_api_tls_name"
CERTIFICATE, KEY, AUTHORITY = "deepgram_api_tls_certificate", "deepgram_api_tls_key", "deepgram_api_tls_ca"
SETTINGS = "deepgram_api_settings"
FIX = f"set {CERTIFICATE}, {KEY} and {AUTHORITY} to files on this machine, or leave all empty (the deployment's own authority)"


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        if "api" not in host.parts:
            continue
        yield from _by_hand(context, host)
        paths = {name: str(host.vars.get(name) or "") for name in (CERTIFICATE, KEY, AUTHORITY)}
        reported = list(paths.values())
        if (
            content.filters("deepgram_topology").Server(host.vars).tls
            and any(reported)
            and not has(reported, "{{")
            and not has(reported, PLACEHOLDER)
        ):
            yield from _files(context, host, paths)


def _by_hand(context: Context, host: Host) -> Iterator[Problem]:
    """[server.https] in the settings: health, drain and NGINX would go on asking without TLS."""
    settings = host.vars.get(SETTINGS)
    server = settings.get("server") if isinstance(settings, dict) else None
    if isinstance(server, dict) and server.get("https"):
        fix = f"take it out there, and set {SWITCH}: true; a certificate of your own is {CERTIFICATE} and {KEY}"
        what = f"{SETTINGS}: server.https is set by hand, and nothing else would speak TLS to the API"
        yield Problem(what, context.place(host, SETTINGS, ("server", "https")), "", fix)


def _files(context: Context, host: Host, paths: dict[str, str]) -> Iterator[Problem]:
    if missing := [name for name, path in paths.items() if not path]:
        there = next(name for name, path in paths.items() if path)
        yield context.problem(host, there, f"{there} is set, but {listed(missing)} not", FIX, paths[there])
        return
    for name, path in paths.items():
        if what := certificates.unreadable(path):
            yield context.problem(host, name, what, FIX, path)
            return
    names = certificates.Names(CERTIFICATE, KEY, "which the API cannot enter")
    files = [Path(path).expanduser() for path in paths.values()]
    if found := certificates.judge(names, *files[:2]) or _judge(*files, name=str(host.vars.get(NAME) or "")):
        at, what, value, fix = found
        yield context.problem(host, at, what, fix, value)


def _judge(certificate: Path, _key: Path, authority: Path, name: str) -> tuple[str, str, str, str] | None:
    """(variable, what, value, fix) of a chain that NGINX would refuse."""
    from cryptography import x509

    chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    try:
        trusted = x509.load_pem_x509_certificates(authority.read_bytes())
    except ValueError:
        return AUTHORITY, "this file holds no PEM certificate", str(authority), "give a file in PEM form"
    if not any(_issued(one, by) for one in chain for by in trusted):
        fix = f"add what signed it to {certificate.name} (the full chain), or give its own authority"
        return AUTHORITY, "this authority did not sign the API's certificate", str(authority), fix
    known = _names(chain[0])
    if not any(_is_of(name, one) for one in known):
        fix = f"set {NAME} to a name that the certificates of all APIs have, or have them made with this one"
        return NAME, f"the API's certificate is not for this name, but for {listed(known) or 'none'}", name, fix
    return None


def _issued(certificate: Any, authority: Any) -> bool:
    from cryptography.exceptions import InvalidSignature

    if certificate == authority:
        return True
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _names(certificate: Any) -> list[str]:
    from cryptography import x509

    try:
        return [
            str(one.value) for one in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        ]
    except x509.ExtensionNotFound:
        return []


def _is_of(name: str, known: str) -> bool:
    """RFC 6125, section 6.4.3: a star stands for the leftmost label."""
    host, _, rest = name.lower().partition(".")
    return known.lower() == name.lower() or (bool(host and rest) and known.lower() == f"*.{rest}")
