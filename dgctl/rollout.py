"""Which servers are changed when: new ones at once, serving ones a few at a time, and never too many of a kind."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dgctl.deployment import PROXIES, SERVING, Deployment
from dgctl.errors import Problem
from dgctl.fleet import Member, behind_proxies
from dgctl.plan import HostPlan, Plan
from dgctl.reasons import Kind
from dgctl.words import listed

# Engines before the APIs that use them; licence proxies before both.
ORDER = ("license_proxy", "engine", "node", "api")
_BATCH = re.compile(r"([1-9]\d*)(%?)")


@dataclass(frozen=True)
class Policy:
    """How serving servers are changed: `batch` at a time (a number, or a share such as 25%), after one alone.

    `max_fail`: servers that may fail before the run stops.
    """

    batch: str = "1"
    max_fail: int = 0

    def size(self, servers: int) -> int:
        """Servers of a batch among `servers`, one at least."""
        number, percent = _BATCH.fullmatch(self.batch).groups()  # type: ignore[union-attr]
        return max(1, servers * int(number) // 100) if percent else int(number)

    @staticmethod
    def valid(batch: str) -> bool:
        found = _BATCH.fullmatch(batch)
        return bool(found) and (not found[2] or int(found[1]) <= 100)


@dataclass
class Batch:
    """Servers that are changed together.

    `drained`: those of them that get no requests meanwhile. `first`: the one whose failure ends the run, whatever may fail.
    """

    name: str
    hosts: list[str]
    drained: list[str] = field(default_factory=list)
    first: bool = False


@dataclass
class Rollout:
    """`build`: servers that nobody's calls depend on, and changes that no call notices; then `proxies`; then
    `batches`. `waiting`: right servers that an earlier run left drained. `gone`: servers that the inventory no longer
    names, and proxies still send requests to. `unheard`: new servers that no proxy of this run hears of. `problems`: why it
    must not begin.
    """

    build: list[str] = field(default_factory=list)
    proxies: list[str] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def simple(self) -> bool:
        """Whether one run does it all."""
        return not self.proxies and not self.batches and not self.waiting


def disruptive(host: HostPlan) -> bool:
    """Whether its change is noticed by the calls that it has."""
    return bool(host.restarts or host.reboot)


def make(deployment: Deployment, plan: Plan, members: dict[str, Member], policy: Policy) -> Rollout:
    """Divides a plan. `members`: the servers as the proxies see them."""
    found = Rollout()
    rolling: dict[tuple[str, str], list[str]] = {}
    for name in plan.changing:
        host = plan.hosts[name]
        if name in deployment.members(PROXIES) and name not in deployment.members(*SERVING):
            (found.build if _blank(host, "nginx_proxy") else found.proxies).append(name)
        elif disruptive(host) and _in_use(deployment, name, host, members):
            rolling.setdefault(kind(deployment, name), []).append(name)
        else:
            found.build.append(name)
    if not members and len(plan.hosts) == 1:
        rolling, found.build = {}, list(plan.changing)  # nobody else could serve meanwhile
    for pool in sorted(rolling, key=lambda pool: ORDER.index(pool[0])):
        _batches(found, deployment, pool, rolling[pool], members, policy)
    found.waiting = [
        name
        for name, host in plan.hosts.items()
        if not host.steps and _left_drained(members.get(name)) and not host.problem
    ]
    found.gone = [name for name, member in members.items() if name not in deployment.hosts and member.serves]
    if not set(deployment.members(PROXIES)) & plan.hosts.keys():
        found.unheard = [name for name in behind_proxies(deployment) if name in plan.hosts and name not in members]
    return found


def _blank(host: HostPlan, role: str) -> bool:
    return any(step.role == role and reason.kind == Kind.NEW for step in host.steps for reason in step.reasons)


def _left_drained(member: Member | None) -> bool:
    return bool(member) and member.drained and not member.kept_out


def _in_use(deployment: Deployment, name: str, host: HostPlan, members: dict[str, Member]) -> bool:
    """Whether calls may depend on it: a proxy sends it requests, or where none does, it runs Deepgram."""
    if name in behind_proxies(deployment):
        return name in members and members[name].serves
    return not _blank(host, "deepgram") and not _blank(host, "license_proxy")


def kind(deployment: Deployment, name: str) -> tuple[str, str]:
    """Servers that can stand in for each other: (group, profile)."""
    group = next(group for group in (*ORDER, PROXIES) if name in deployment.groups.get(group, ()))
    return group, str(deployment.hosts[name].vars.get("deepgram_profile") or "")


def _batches(
    found: Rollout,
    deployment: Deployment,
    pool: tuple[str, str],
    names: list[str],
    members: dict[str, Member],
    policy: Policy,
) -> None:
    """Adds the batches of one pool: one server alone, then as many at a time as policy and minimum allow."""
    peers = [name for name in deployment.members(pool[0]) if kind(deployment, name) == pool]
    spread = set(behind_proxies(deployment))
    serving = [name for name in peers if name not in spread or (name in members and members[name].serves)]
    room = len(serving) - least(deployment, names)
    guarded = (bool(spread) or pool[0] == "engine") and not _spared(deployment, names)
    if guarded and room < 1:
        found.problems.append(_no_room(deployment, pool, names, len(serving)))
        return
    size = min(policy.size(len(peers)), room) if guarded else policy.size(len(peers))
    size = 1 if pool[0] == "license_proxy" else size
    groups = [names[:1], *(names[at : at + size] for at in range(1, len(names), size))]
    for number, hosts in enumerate(groups, 1):
        title = f"Change {number}/{len(groups)}: {listed(hosts)}"
        found.batches.append(Batch(title, hosts, [name for name in hosts if name in spread], number == 1))


def _spared(deployment: Deployment, names: list[str]) -> bool:
    """Whether others go round them meanwhile: past a licence proxy straight to Deepgram's own server."""
    proxies = set(deployment.members("license_proxy"))
    return proxies.issuperset(names) and all(
        deployment.hosts[name].vars.get("deepgram_license_upstream") for name in names
    )


def least(deployment: Deployment, names: list[str]) -> int:
    """How many servers of a pool must serve at any time: the largest deepgram_min_serving among `names`."""
    return max(int(deployment.hosts[name].vars.get("deepgram_min_serving") or 0) for name in names)


def _no_room(deployment: Deployment, pool: tuple[str, str], names: list[str], serving: int) -> Problem:
    what = (
        f"{listed(names)} cannot be changed: too few of [{pool[0]}] ({pool[1] or 'no profile'}) would serve meanwhile"
    )
    value = f"{serving} serving now, deepgram_min_serving is {least(deployment, names)}"
    fix = "add a server of the same kind first, or set deepgram_min_serving: 0 and accept that calls are refused"
    return Problem(what, names[0], value, fix)
