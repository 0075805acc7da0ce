"""Which parts of the deployment a host plays, as the checks see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from dgctl.deployment.deployment import Deployment, Host
from dgctl.verify.wanted import wanted

# The host has an NGINX of its own, which clients reach. Beside the inventory's groups, for the checks' GROUPS.
TLS = "tls"
# It runs an Engine and no API. Its API asks Engines of other hosts.
ENGINE_ONLY, REMOTE_ENGINES = "engine_only", "remote_engines"
OWN_ENGINE = "engine:8080"  # what an API calls the Engine beside it


def groups(deployment: Deployment, host: Host, engines: Mapping[str, str] | None = None) -> list[str]:
    """The groups that checks choose by: those of the inventory, `api` and `engine` where they run, and those above.

    `engines`: what asked() says of the host.
    """
    found = {*host.groups, *host.parts}
    own = "proxy" in host.groups if deployment.groups.get("proxy") else "api" in found
    found |= {TLS} if own else set()
    found |= {ENGINE_ONLY} if "engine" in host.parts and "api" not in host.parts else set()
    return sorted(found | ({REMOTE_ENGINES} if set((engines or {}).values()) - {host.name, ""} else set()))


def asked(deployment: Deployment) -> dict[str, dict[str, str]]:
    """Host with an API -> {address: host} of the Engines that it asks; the host is "" where it is not of this deployment."""
    known = {
        f"{name}:{host.vars.get('deepgram_engine_port') or 8080}": host.name
        for host in deployment.hosts.values()
        if "engine" in host.parts
        for name in (host.name, host.address, str(host.vars.get("deepgram_address") or host.address))
    }
    return {
        host.name: {address: _engine_host(address, host, known) for address in _addresses(host)}
        for host in deployment.hosts.values()
        if "api" in host.parts
    }


def _engine_host(address: str, host: Host, known: Mapping[str, str]) -> str:
    own = address == OWN_ENGINE and "engine" in host.parts
    return host.name if own else known.get(address.replace("[", "").replace("]", ""), "")


def _addresses(host: Host) -> list[str]:
    """host:port of each Engine, as they are in api.toml; none where only facts of the server could tell."""
    pool = (host.vars.get("deepgram_api_settings") or {}).get("driver_pool") or {}
    if pool.get("standard"):  # replaces the role's list
        return [urlsplit(str(driver.get("url"))).netloc for driver in pool["standard"]]
    addresses = host.vars.get("deepgram_engine_addresses")
    return [str(address) for address in addresses] if isinstance(addresses, list) else []


def desired(deployment: Deployment, host: Host) -> dict[str, Any]:
    """What a host should be. A proxy is asked what the servers behind it transcribe."""
    values = wanted(host.vars)
    behind = [wanted(other.vars) for other in deployment.hosts.values() if {"node", "api"} & set(other.groups)]
    if "proxy" not in host.groups or "api" in host.parts or not behind:
        return values
    asked = next((one for one in behind if one["deepgram_profile"] in (None, "stt") and one["speech"]), behind[0])
    names = ("speech", "deepgram_profile", "deepgram_verify_language", "deepgram_verify_model")
    flux = next((one["flux"] for one in behind if one["flux"]), None)
    return values | {name: asked[name] for name in names} | {"flux": flux}
