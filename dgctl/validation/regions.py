"""Regions: the API of a server without Engines has some to ask, of its own region or of one that it falls back to."""

from __future__ import annotations

from collections.abc import Iterator

from dgctl import content
from dgctl.base.errors import Problem
from dgctl.base.names import suggestion
from dgctl.base.words import listed
from dgctl.deployment.deployment import Deployment, Host
from dgctl.validation.context import Context

REGION, FALLBACK, PROFILE = "deepgram_region", "deepgram_region_fallback", "deepgram_profile"
# The addresses that the role makes of the inventory, and what it makes them of.
_ADDRESSES = "deepgram_engine_addresses"
_MADE_OF = {REGION, FALLBACK, PROFILE, _ADDRESSES, "deepgram_engine_flags"}


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        if "api" not in host.groups or "engine" in host.parts or _MADE_OF & host.unrendered.keys():
            continue
        yield from _fallback(context, host)
        if host.vars.get(_ADDRESSES) == []:
            yield from _nobody(context, host)


def _fallback(context: Context, host: Host) -> Iterator[Problem]:
    """A fallback of no region, and one to where no server of the deployment is: it would be missing when it is needed."""
    named = host.vars.get(FALLBACK)
    if not isinstance(named, list) or not named:
        return
    if not host.vars.get(REGION):
        fix = f"set {REGION}; or take it out: without a region an API asks the Engines of every one"
        yield context.problem(host, FALLBACK, f"{FALLBACK} is set, and {REGION} is not", fix, listed(named))
        return
    known = sorted({str(other.vars.get(REGION) or "") for other in context.served} - {""})
    for region in named:
        if str(region) not in known:
            fix = suggestion(str(region), known)
            yield context.problem(host, FALLBACK, f"no server is in a region of {FALLBACK}", fix, str(region))


def _nobody(context: Context, host: Host) -> Iterator[Problem]:
    """No Engine of its profile is in its region, nor in those that it falls back to."""
    region, profile = str(host.vars.get(REGION) or ""), str(host.vars.get(PROFILE))
    if not context.deployment.members("engine") or profile == "agent":
        return  # said as a group without its other half, and kind by kind of Engine
    what = f"the API of {host.name} has no Engine to ask: none of [engine] serves {profile}"
    elsewhere = _regions(context.deployment, host) if region else []
    if elsewhere:
        what += f" in its region ({region}) or in one of {FALLBACK}"
        fix = f"add a server of {REGION} {region} to [engine], or set {FALLBACK}: [{', '.join(elsewhere)}]"
        yield context.problem(host, REGION, what, fix, region)
    else:
        yield context.problem(host, PROFILE, what, f"add a server with {PROFILE} {profile} to [engine]", profile)


def _regions(deployment: Deployment, host: Host) -> list[str]:
    """Where there are Engines that the API could ask."""
    module = content.filters("deepgram_topology")
    variables = {name: other.vars for name, other in deployment.hosts.items()}
    asking = module.Server({**host.vars, REGION: ""})
    names = module.asked(asking, host.name, deployment.groups, variables)
    return sorted({module.Server(variables[name]).region for name in names} - {""})
