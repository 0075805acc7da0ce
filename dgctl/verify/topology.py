"""Which parts of the deployment a host plays, as the checks see it."""

from __future__ import annotations

from typing import Any

from dgctl.deployment import Deployment, Host
from dgctl.verify.wanted import wanted

# The host has an NGINX of its own, which clients reach. Beside the inventory's groups, for the checks' GROUPS.
TLS = "tls"


def groups(deployment: Deployment, host: Host) -> list[str]:
    """The groups that checks choose by: those of the inventory, `api` and `engine` where they run, and TLS."""
    found = {*host.groups, *host.parts}
    own = "proxy" in host.groups if deployment.groups.get("proxy") else "api" in found
    return sorted(found | ({TLS} if own else set()))


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
