"""Which servers are changed when: new ones at once, serving ones a few at a time, and never too many of a kind."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from dgctl.base.errors import Problem
from dgctl.base.words import listed
from dgctl.deployment.deployment import PROXIES, SERVING, Deployment
from dgctl.deployment.fleet import Member, behind_proxies
from dgctl.plan.plan import HostPlan, Plan
from dgctl.plan.reasons import Kind
from dgctl.rollout import floor
from dgctl.run.options import Options

RUNNING = ("deepgram", "license_proxy", "billing")  # the roles whose containers others depend on
ONE_BY_ONE = ("license_proxy", "billing")
_BATCH = re.compile(r"([1-9]\d*)(%?)")


@dataclass(frozen=True)
class Policy:
    """How serving servers are changed: `batch` at a time (a number, or a share such as 25%), after one alone.

    `max_fail`: servers that may fail before the run stops.
    """

    batch: str = "1"
    max_fail: int = 0

    @classmethod
    def of(cls, options: Options) -> Policy:
        return cls(options.batch, options.max_fail)

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

    `drained`: those of them that get no requests meanwhile. `dependents`: APIs that get none either, because they ask only
    these Engines. `first`: the one whose failure ends the run, whatever may fail.
    """

    name: str
    hosts: list[str]
    drained: list[str] = field(default_factory=list)
    first: bool = False
    dependents: list[str] = field(default_factory=list)

    @property
    def out(self) -> str:
        """Who gets no requests meanwhile, as the end of a line."""
        if self.dependents:
            return f", {listed(self.dependents)} drained"
        return ", drained" if self.drained else ""


@dataclass
class Rollout:
    """`build`: servers that nobody's calls depend on, and changes that no call notices; then `proxies`; then
    `batches`. `waiting`: servers in sync that an earlier run left drained. `missing`: servers that the inventory no longer
    names, and proxies still send requests to. `unheard`: new servers that no proxy of this run hears of. `problems`: why it
    must not begin.
    """

    build: list[str] = field(default_factory=list)
    proxies: list[str] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def dependents(self) -> set[str]:
        return {name for batch in self.batches for name in batch.dependents}

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
    if not members and _is_alone(deployment, plan):
        rolling, found.build = {}, list(plan.changing)  # nobody else could serve its callers meanwhile
    _pools(found, deployment, rolling, members, down(plan), policy)
    found.waiting = [
        name
        for name, host in plan.hosts.items()
        if not host.steps and _left_drained(members.get(name)) and not host.problem and name not in found.dependents
    ]
    found.missing = [name for name, member in members.items() if name not in deployment.hosts and member.serves]
    if not set(deployment.members(PROXIES)) & plan.hosts.keys():
        found.unheard = [name for name in behind_proxies(deployment) if name in plan.hosts and name not in members]
    return found


def _pools(
    found: Rollout,
    deployment: Deployment,
    rolling: dict[tuple[str, str], list[str]],
    members: dict[str, Member],
    asleep: list[str],
    policy: Policy,
) -> None:
    """Adds the batches of each pool, in floor.ORDER. An API that was left drained for its Engine is changed after it."""
    for group in floor.ORDER:
        for pool in [pool for pool in rolling if pool[0] == group]:
            _batches(found, deployment, rolling[pool], members, asleep, policy)
        if group == "engine":
            _stand_by(found, deployment, members, asleep)
            for name in [name for name in found.build if name in found.dependents and _left_drained(members.get(name))]:
                found.build.remove(name)
                rolling.setdefault(kind(deployment, name), []).append(name)


def _is_alone(deployment: Deployment, plan: Plan) -> bool:
    """Whether the one server of the plan is the only one, or a node with a proxy of its own."""
    (name, *others) = plan.hosts
    only = len(deployment.hosts) == 1
    return not others and (only or not any(floor.is_guarded(deployment, one) for one in floor.kinds(deployment, name)))


def _blank(host: HostPlan, role: str) -> bool:
    return any(step.role == role and reason.kind == Kind.NEW for step in host.steps for reason in step.reasons)


def _left_drained(member: Member | None) -> bool:
    return bool(member) and member.drained and not member.retained_out


def _in_use(deployment: Deployment, name: str, host: HostPlan, members: dict[str, Member]) -> bool:
    """Whether calls may depend on it: a proxy sends it requests, or where none does, it runs Deepgram."""
    if name in behind_proxies(deployment):
        return name in members and members[name].serves
    return not any(_blank(host, role) for role in RUNNING)


def kind(deployment: Deployment, name: str) -> tuple[str, str]:
    """Servers that are changed in one pool: (group, profile) of the first group that it is in."""
    return floor.kinds(deployment, name)[0]


def down(plan: Plan) -> list[str]:
    """Servers that do nobody's work: something that runs there does not answer. New ones work before others stop."""
    return [name for name, host in plan.hosts.items() if _silent(host)]


def _silent(host: HostPlan) -> bool:
    reasons = [reason for step in host.steps if step.role in RUNNING for reason in step.reasons]
    return any(reason.kind == Kind.DRIFTED and reason.subject.startswith("address ") for reason in reasons)


def _batches(
    found: Rollout,
    deployment: Deployment,
    names: list[str],
    members: dict[str, Member],
    asleep: list[str],
    policy: Policy,
) -> None:
    """Adds the batches of one pool: one server alone, then as many at a time as policy and minimum allow.

    Those that do not serve come first: when they are repaired, the others may stop in their turn.
    """
    pool, spread = kind(deployment, names[0]), set(behind_proxies(deployment))
    size = 1 if pool[0] in ONE_BY_ONE else policy.size(len(floor.peers(deployment, pool)))
    serving: set[str] = set()
    for one in dict.fromkeys(one for name in names for one in floor.kinds(deployment, name)):
        able = floor.serving(deployment, one, members, asleep)
        room = floor.room(deployment, one, names, members, asleep)
        if room is not None and room < 1:
            taken = [name for name in names if name in able]
            found.problems.append(floor.too_few(deployment, one, taken, len(able), "be changed"))
            return
        serving |= set(able)
        size = size if room is None else min(size, room)
    names = sorted(names, key=lambda name: name in serving)
    groups = [names[:1], *(names[at : at + size] for at in range(1, len(names), size))]
    for number, hosts in enumerate(groups, 1):
        title = f"Change {number}/{len(groups)}: {listed(hosts)}"
        found.batches.append(Batch(title, hosts, [name for name in hosts if name in spread], number == 1))


def _stand_by(found: Rollout, deployment: Deployment, members: dict[str, Member], asleep: list[str]) -> None:
    """Gives the batches of Engines their dependents; adds a problem where too few other APIs would serve."""
    batches = [batch for batch in found.batches if set(batch.hosts) <= set(deployment.members("engine"))]
    needed = floor.needs(deployment) if batches and members else {}
    for batch in batches:
        asking = [name for name in floor.dependents(needed, batch.hosts) if name in members]
        left = [name for name in asking if _left_drained(members[name])]
        up = [name for name in asking if members[name].serves and name not in left]
        if not up or set(batch.hosts) <= set(asleep):
            batch.dependents = left  # of one that is asleep they have nothing to lose
        elif short := floor.shortage(deployment, up, members):
            ask = f"{listed(up)} ask{'s' if len(up) == 1 else ''} no other Engine"
            what = f"{listed(batch.hosts)} cannot be changed: {ask}, and too few others of [api] would serve meanwhile"
            found.problems.append(replace(short, what=what, where=batch.hosts[0]))
        else:
            others = set(floor.serving(deployment, kind(deployment, up[0]), members)) - set(up)
            batch.dependents = [*up, *left] if others else left  # all of them at once is what min_serving 0 accepts
