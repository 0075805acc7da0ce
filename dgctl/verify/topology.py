"""Which parts of the deployment a host plays, as the checks see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from dgctl.deployment import images, models, topology
from dgctl.deployment.deployment import Deployment, Host
from dgctl.deployment.topology import Stack
from dgctl.verify.desired import desired

# The host has an NGINX of its own, which clients reach. Beside the inventory's groups, for the checks' GROUPS.
TLS = "tls"
# It runs an Engine and no API. Its API asks Engines of other hosts.
ENGINE_ONLY, REMOTE_ENGINES = "engine_only", "remote_engines"


def groups(deployment: Deployment, host: Host, engines: Mapping[str, str] | None = None, key: str = "") -> list[str]:
    """The groups that checks choose by: those of the inventory, `api` and `engine` where they run, and those above.

    `engines`: what asked() says of the key. Of another Engine than the host's first only what runs there counts.
    """
    if key and key != host.name:
        stack = keys(host)[key]
        found = set(stack.parts) if stack else set()
        return sorted(found | ({REMOTE_ENGINES} if set((engines or {}).values()) - {key, ""} else set()))
    found = {*host.groups, *host.parts}
    own = "proxy" in host.groups if deployment.groups.get("proxy") else "api" in found
    found |= {TLS} if own else set()
    found |= {ENGINE_ONLY} if "engine" in host.parts and "api" not in host.parts else set()
    return sorted(found | ({REMOTE_ENGINES} if set((engines or {}).values()) - {host.name, ""} else set()))


def keys(host: Host) -> dict[str, Stack | None]:
    """What is asked of a host, by key: the host itself with its first Engine, and HOST/COMPONENT for each other one."""
    stacks = topology.stacks(host)
    found: dict[str, Stack | None] = {host.name: stacks[0] if stacks else None}
    return found | {f"{host.name}/{next(iter(stack.names.values()))}": stack for stack in stacks[1:]}


def asked(deployment: Deployment) -> dict[str, dict[str, str]]:
    """Host with an API -> {address: key} of the Engines that it asks; the key is "" where it is not of this deployment."""
    known, own = {}, {}
    for host in deployment.hosts.values():
        for key, stack in keys(host).items():
            if stack and stack.engine:
                own[host.name, f"{stack.engine['component']}:8080"] = key
                for name in (host.name, host.address, str(host.vars.get("deepgram_address") or host.address)):
                    known[f"{name}:{stack.engine['port']}"] = key
    return {
        key: {
            address: own.get((host.name, address)) or known.get(_bare(address), "")
            for address in _addresses(host, stack)
        }
        for host in deployment.hosts.values()
        for key, stack in keys(host).items()
        if stack and stack.api
    }


def _bare(address: str) -> str:
    return address.replace("[", "").replace("]", "")


def _addresses(host: Host, stack: Stack) -> list[str]:
    """host:port of each Engine, as they are in api.toml; none where only facts of the server could tell."""
    pool = (host.vars.get("deepgram_api_settings") or {}).get("driver_pool") or {}
    if pool.get("standard"):  # replaces the role's list
        return [urlsplit(str(driver.get("url"))).netloc for driver in pool["standard"]]
    if stack.engine and (len(stack.api["engines"]) > 1 or len(keys(host)) > 1):
        return [f"{component}:8080" for component in stack.api["engines"]]
    addresses = host.vars.get("deepgram_engine_addresses")
    return [str(address) for address in addresses] if isinstance(addresses, list) else []


def desired_state(deployment: Deployment, host: Host, stack: Stack | None = None) -> dict[str, Any]:
    """What a host should be, with one of its Engines. A proxy is asked what the servers behind it transcribe."""
    values = _of(host, stack) | {
        "api_tls": topology.api_tls(host.vars, deployment.folder),
        "images_locked": images.locked(deployment.inventory, host),
        "models_locked": models.locked(deployment.inventory, host),
    }
    behind = [
        _of(other, one)
        for other in deployment.hosts.values()
        if {"node", "api"} & set(other.groups)
        for one in keys(other).values()
    ]
    if "proxy" not in host.groups or "api" in host.parts or not behind:
        return values
    asked = next((one for one in behind if one["deepgram_profile"] in (None, "stt") and one["speech"]), behind[0])
    names = ("speech", "deepgram_profile", "deepgram_verify_language", "deepgram_verify_model")
    flux = next((one["flux"] for one in behind if one["flux"]), None)
    spoken = [voice for one in behind for voice in one["voices"]]
    agent = next((one["agent"] for one in behind if one["agent"]), None)
    return values | {name: asked[name] for name in names} | {"flux": flux, "voices": _once(spoken), "agent": agent}


def _of(host: Host, stack: Stack | None) -> dict[str, Any]:
    own = desired(topology.variables(host, stack) if stack else host.vars)
    names = {part: name for part, name in (stack.names if stack else {}).items() if name != part}
    return own | {"names": names}


def _once(found: list[Any]) -> list[Any]:
    return [one for number, one in enumerate(found) if one not in found[:number]]
