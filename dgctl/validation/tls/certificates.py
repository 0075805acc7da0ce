"""The user's own TLS certificate: both files, a pair, in time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from dgctl.base.errors import Problem
from dgctl.deployment.deployment import Host
from dgctl.validation.context import PLACEHOLDER, Context, has


class Names(NamedTuple):
    """The variables of a certificate and its key, and what is the matter with a passphrase."""

    certificate: str
    key: str
    locked: str


SOURCE = "nginx_proxy_tls_source"
CERTIFICATE, KEY = "nginx_proxy_tls_certificate", "nginx_proxy_tls_key"
NGINX = Names(CERTIFICATE, KEY, "which NGINX cannot enter")


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        source = str(host.vars.get(SOURCE) or "")
        if SOURCE in host.unrendered or source not in ("", "files"):
            continue
        paths = {name: str(host.vars.get(name) or "") for name in (CERTIFICATE, KEY)}
        if not any(paths.values()) and SOURCE in host.written and source:
            fix = f"set {CERTIFICATE} and {KEY} to files on this machine, or {SOURCE} to self-signed or acme"
            yield context.problem(host, SOURCE, f"{SOURCE} is files, and none are given", fix, source)
        if not any(paths.values()) or has(list(paths.values()), "{{") or has(list(paths.values()), PLACEHOLDER):
            continue
        yield from _pair(context, host, paths)


def _pair(context: Context, host: Host, paths: dict[str, str]) -> Iterator[Problem]:
    fix = f"set {CERTIFICATE} and {KEY} to files on this machine, or leave both empty (self-signed)"
    for name, other in ((CERTIFICATE, KEY), (KEY, CERTIFICATE)):
        if not paths[name]:
            yield context.problem(host, other, f"{other} is set, but {name} is not", fix, paths[other])
            return
        if what := unreadable(paths[name]):
            yield context.problem(host, name, what, fix, paths[name])
            return
    found = judge(NGINX, *(Path(os.path.expanduser(paths[name])) for name in (CERTIFICATE, KEY)))
    if found:
        name, what, value, fix = found
        yield context.problem(host, name, what, fix, value)


def unreadable(path: str) -> str:
    file = Path(os.path.expanduser(path))
    if not file.is_file():
        return "this file does not exist"
    return "" if os.access(file, os.R_OK) else "this file cannot be read"


def judge(names: Names, certificate_path: Path, key_path: Path) -> tuple[str, str, str, str] | None:
    """(variable, what, value, fix) for a certificate and key that NGINX or a client would refuse."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificate = x509.load_pem_x509_certificates(certificate_path.read_bytes())[0]
    except (ValueError, IndexError):
        return (
            names.certificate,
            "this file holds no PEM certificate",
            str(certificate_path),
            "give a file in PEM form",
        )
    try:
        key = load_pem_private_key(key_path.read_bytes(), password=None)
    except TypeError:
        fix = "take the passphrase off: openssl pkey -in KEY -out KEY.open"
        return names.key, f"the key is locked by a passphrase, {names.locked}", str(key_path), fix
    except ValueError:
        return names.key, "this file holds no PEM private key", str(key_path), "give a file in PEM form"
    return _match(names, certificate, key, certificate_path, key_path)


def _match(
    names: Names, certificate: Any, key: Any, certificate_path: Path, key_path: Path
) -> tuple[str, str, str, str] | None:
    if certificate.public_key() != key.public_key():
        fix = "give the key that the certificate was made for (the server's own comes first in its file)"
        return names.key, "the key does not belong to the certificate", str(key_path), fix
    if certificate.not_valid_after_utc < datetime.now(UTC):
        until = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        return names.certificate, f"the certificate expired on {until}", str(certificate_path), "give a renewed one"
    if certificate.not_valid_before_utc > datetime.now(UTC):
        since = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        return (
            names.certificate,
            f"the certificate is valid only from {since}",
            str(certificate_path),
            "check this machine's clock",
        )
    return None
