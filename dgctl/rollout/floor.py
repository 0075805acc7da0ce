"""How many servers of a kind must go on serving (deepgram_min_serving), and what a verb refuses because of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from dgctl.base.errors import Problem
from dgctl.base.words import listed
from dgctl.deployment.deployment import PROXIES, SERVING, Deployment, Host
from dgctl.deployment.fleet import DRAINED, UP, Member, behind_proxies

# Engines before the APIs that use them; licence proxies before both, and before them what they ask.
ORDER = ("billing", "license_proxy", "engine", "node", "api")
USUAL = 1  # deepgram_min_serving where a deployment says nothing: the role's default
FORCE = "deepgram_min_serving: 0"
Kind = tuple[str, str]  # (group, profile): servers that can stand in for each other


def kinds(deployment: Deployment, name: str) -> list[Kind]:
    """What a server is, one kind a group that it is in."""
    profile = str(deployment.hosts[name].vars.get("deepgram_profile") or "")
    groups = [group for group in (*ORDER, PROXIES) if name in deployment.groups.get(group, ())]
    return [(group, profile if group in ("engine", *SERVING) else "") for group in groups]


def peers(deployment: Deployment, kind: Kind) -> list[str]:
    return [name for name in deployment.members(kind[0]) if kind in kinds(deployment, name)]


def least(deployment: Deployment, names: Collection[str]) -> int:
    """How many servers of a kind must serve at any time: the largest deepgram_min_serving among `names`."""
    reported = [deployment.hosts[name].vars.get("deepgram_min_serving") for name in names]
    return max(USUAL if one in (None, "") else int(one) for one in reported)


def serving(deployment: Deployment, kind: Kind, members: Mapping[str, Member], down: Collection[str] = ()) -> list[str]:
    """Those of a kind that do their work now: which the proxies find up, or where they ask nobody, those not `down`."""
    spread = behind_proxies(deployment)

    def serves(name: str) -> bool:
        asked = name in spread and kind[0] in SERVING
        return name in members and members[name].is_up if asked else name not in down

    return [name for name in peers(deployment, kind) if serves(name)]


def is_guarded(deployment: Deployment, kind: Kind) -> bool:
    """Whether callers lose something when too few of a kind serve, and others could have served in their place.

    Not nodes that have a proxy each: the callers of one never reach another.
    """
    if kind[0] in SERVING:
        return bool(behind_proxies(deployment))
    if kind[0] == "billing":  # a License Proxy remembers licences while Billing is away
        return not deployment.members("license_proxy")
    return kind[0] == "engine" or (kind[0] == "license_proxy" and not _has_way_round(deployment))


def _has_way_round(deployment: Deployment) -> bool:
    """Whether every server that needs a licence may ask somebody who is no License Proxy of this deployment."""
    proxies = [deployment.hosts[name] for name in deployment.members("license_proxy")]
    own = {str(place) for host in proxies for place in (host.name, host.address, host.vars.get("deepgram_address"))}
    return all(_asks_others(deployment.hosts[name], own) for name in deployment.members("node", "api", "engine"))


def _asks_others(host: Host, own: set[str]) -> bool:
    servers = host.vars.get("deepgram_license_servers")
    if not isinstance(servers, list):  # rendered by nobody: it is made of the License Proxies, and of these
        return bool(host.vars.get("deepgram_license_upstream"))
    return any(urlsplit(str(url)).hostname not in own for url in servers)


def needs(deployment: Deployment) -> dict[str, list[set[str]]]:
    """Server of [api] -> the servers with the Engines that its API asks; of a voice agent those of each kind."""
    from dgctl.verify import topology  # with it come the checks

    asked = topology.asked(deployment)
    return {name: _kinds_asked(deployment.hosts[name], asked.get(name, {})) for name in deployment.members("api")}


def _kinds_asked(host: Host, asked: Mapping[str, str]) -> list[set[str]]:
    """`asked`: address -> key of the Engine there, "" where it is not of this deployment."""
    flags = host.vars.get("deepgram_engine_flags")
    found: dict[str, set[str]] = {}
    for address, key in asked.items():
        use = flags.get(address, "") if isinstance(flags, dict) else ""
        found.setdefault(use, set()).add(key.partition("/")[0])
    return list(found.values())


def dependents(needed: Mapping[str, list[set[str]]], engines: Collection[str]) -> list[str]:
    """The servers of `needs` that have nobody to ask, or of a voice agent nobody of a kind, without these Engines."""
    return [name for name, kinds_asked in needed.items() if any(one <= set(engines) for one in kinds_asked)]


def room(
    deployment: Deployment, kind: Kind, names: Collection[str], members: Mapping[str, Member], down: Collection[str]
) -> int | None:
    """How many of `names` may stop serving at a time; None for any number.

    Those of them that do not serve now are repaired before the others stop.
    """
    able = serving(deployment, kind, members, down)
    of_kind = [name for name in names if kind in kinds(deployment, name)]
    if not set(of_kind) & set(able) or not is_guarded(deployment, kind):
        return None
    return len({*able, *of_kind}) - least(deployment, of_kind)


def joined(members: Mapping[str, Member], out: Collection[str], back: Collection[str]) -> dict[str, Member]:
    """The members as they are after these were drained, and those were verified and undrained."""
    now = {**members, **{name: Member(name, {"": UP}) for name in back}}
    return now | {name: Member(name, {"": DRAINED}) for name in out}


def shortage(
    deployment: Deployment, names: Collection[str], members: Mapping[str, Member], down: Collection[str] = ()
) -> Problem | None:
    """Why these servers must not all stop serving at once; None when they may."""
    for kind in dict.fromkeys(kind for name in names for kind in kinds(deployment, name)):
        able = serving(deployment, kind, members, down)
        taken = [name for name in able if name in names]
        if taken and is_guarded(deployment, kind) and len(able) - len(taken) < least(deployment, taken):
            return too_few(deployment, kind, taken, len(able), "stop serving")
    return None


def too_few(deployment: Deployment, kind: Kind, names: list[str], able: int, what: str) -> Problem:
    group, profile = kind
    of_profile = f", profile {profile}" if profile else ""
    text = f"{listed(names)} cannot {what}: too few of [{group}]{of_profile} would serve meanwhile"
    value = f"{able} of {len(peers(deployment, kind))} serving now, deepgram_min_serving is {least(deployment, names)}"
    fix = f"add a server of the same kind first, or set {FORCE} and accept that calls are refused"
    return Problem(text, names[0], value, fix)
