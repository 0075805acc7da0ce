"""What a deployment says to a reviewer: who may call, for whom a port is, what is unpinned, where its secrets lie."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from dgctl import content
from dgctl.base.locate import origin, shown
from dgctl.base.words import count, listed
from dgctl.content import specs
from dgctl.deployment import images, models
from dgctl.deployment.deployment import Deployment, Host
from dgctl.validation import secrets
from dgctl.validation.context import Context

EVERYBODY, OWN = "whoever reaches it", "this server alone"
VAULT_PASSWORD = ".vault_pass"
_ACCEPTED = {
    "keys": "callers with a key ({keys})",
    "certificates": "callers with a certificate of nginx_proxy_client_ca",
    "either": "callers with a key ({keys}) or a certificate",
    "both": "callers with a key ({keys}) and a certificate",
}


def callers(host: Host) -> str:
    """Whom the host's proxy serves."""
    keys = host.vars.get("nginx_proxy_keys") or {}
    known = _ACCEPTED.get(str(host.vars.get("nginx_proxy_callers")), EVERYBODY).format(keys=count(len(keys), "key"))
    allowed = host.vars.get("nginx_proxy_allow") or []
    return f"{known}, from {listed(list(map(str, allowed)))}" if allowed else known


def keys(deployment: Deployment) -> list[dict[str, Any]]:
    """The callers' keys of all proxies: {name, added, age_days}; None where nobody knows."""
    found: dict[str, dict[str, Any]] = {}
    for host in deployment.hosts.values():
        for name, key in (host.vars.get("nginx_proxy_keys") or {}).items():
            added = str(key.get("added") or "") if isinstance(key, dict) else ""
            found[str(name)] = {"name": str(name), "added": added or None, "age_days": _age(added)}
    return [found[name] for name in sorted(found)]


def _age(day: str) -> int | None:
    try:
        return (datetime.now(UTC).date() - date.fromisoformat(day)).days
    except ValueError:
        return None


def audience(host: Host, parts: set[str], row: dict[str, Any], firewall: bool | None) -> str:
    """For whom a listening or published port is, by the inventory; `firewall`: whether its table is in force."""
    address, port = str(row.get("address")), str(row.get("port"))
    if is_loopback(address):
        return OWN
    if "proxy" in parts and port == str(host.vars.get("nginx_proxy_port")):
        return callers(host)
    if "proxy" in parts and port == str(host.vars.get("nginx_proxy_acme_http_port")) and _is_proven_by_http(host):
        return f"{EVERYBODY}, for an ACME authority's questions alone"
    rules = [rule for rule in host.vars.get("host_firewall_rules") or [] if str(rule.get("port")) == port]
    if not rules:
        return EVERYBODY
    if not firewall:
        return f"{EVERYBODY}: the firewall is not in force"
    allowed = host.vars.get("host_firewall_allow") or []
    sources = list(dict.fromkeys(str(one) for rule in rules for one in [*rule.get("sources", []), *allowed]))
    return listed(sources) if sources else OWN


def _is_proven_by_http(host: Host) -> bool:
    return (
        host.vars.get("nginx_proxy_tls_source") == "acme" and host.vars.get("nginx_proxy_acme_challenge") == "http-01"
    )


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def unpinned(host: Host, inventory: Path) -> list[str]:
    """What another day could bring otherwise, without a change of the inventory or of what stands beside it."""
    return list(_unpinned(host, inventory))


def _unpinned(host: Host, inventory: Path) -> Iterator[str]:
    parts = set(host.parts) & {"api", "engine"}
    if parts - {*images.locked(inventory, host)} and not host.vars.get("deepgram_image_digests"):
        yield "images: the digest that the release's tag has when a server first pulls it (images.lock, deepgram_image_digests)"
    locked = models.locked(inventory, host)
    if bare := [name for name in models.bare(host) if name not in locked]:
        yield f"models without sha256: {listed(bare)} (deepgram_models_links, or models.lock after the first provision)"
    if "engine" in host.parts and not host.vars.get("nvidia_driver_version"):
        yield f"driver: the newest of branch {host.vars.get('nvidia_driver_branch')} (nvidia_driver_version)"
    words = " ".join(str(host.vars.get(f"ansible_ssh_{kind}_args") or "") for kind in ("common", "extra")).lower()
    asked = str(
        host.vars.get("ansible_host_key_checking", host.vars.get("ansible_ssh_host_key_checking", True))
    ).lower()
    if asked in ("false", "no", "0") or "stricthostkeychecking=no" in words.replace(" ", "=").replace("==", "="):
        yield "SSH: any host key is believed"


def of_controller(deployment: Deployment) -> list[dict[str, Any]]:
    """Files on this machine that hold secrets: {path, mode, encrypted, others}."""
    context = Context(deployment, specs.options(content.root()))
    found: dict[Path, bool] = {}
    for host in deployment.hosts.values():
        for name, written in host.written.items():
            place = origin(written) if context.secret(name) else None
            if place and written:
                path = Path(place[0])
                is_safe = secrets.encrypted(path) or not secrets.in_clear(written)
                found[path] = found.get(path, True) and is_safe
    password = deployment.folder / VAULT_PASSWORD
    if password.is_file():
        found[password] = False
    return [_file(path, is_safe) for path, is_safe in sorted(found.items())]


def _file(path: Path, is_encrypted: bool) -> dict[str, Any]:
    mode = path.stat().st_mode & 0o777
    return {"path": shown(path), "mode": f"{mode:04o}", "encrypted": is_encrypted, "others": bool(mode & 0o077)}
