"""The plan: which roles would run on which server, why, and what that does to its calls."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from dgctl.base.errors import Problem
from dgctl.content import systems
from dgctl.content.roles import matches, plays
from dgctl.content.roles import role as role_of
from dgctl.deployment.deployment import Deployment, Host
from dgctl.deployment.fleet import Member
from dgctl.plan import checksums, reasons
from dgctl.plan.desired import Desired
from dgctl.plan.look import Seen, look
from dgctl.plan.reasons import Kind, Reason

PREFLIGHT = "Preflight"
KEEP = "Keep what was verified"
BEGIN = "Begin"
DEEPGRAM = ("deepgram", "deepgram_models")  # the roles whose state `rollback` restores
_IN_DOUBT = (Kind.NEW, Kind.UNFINISHED, Kind.DISTRUSTED)  # anything may be to do that the role ever does
_Thing = TypeVar("_Thing", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Step:
    """One role's run on one server."""

    role: str
    fingerprint: str
    reasons: tuple[Reason, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"role": self.role, "fingerprint": self.fingerprint, "reasons": list(self.reasons)}


@dataclass(slots=True)
class HostPlan:
    """One server: the steps that it needs, none when it is right.

    `preflight`: whether anything that the preflight looks at may be another than when it last passed. `restarts`:
    containers that are recreated. `busy`: requests that they have at this moment, None for unknown.
    `reboot`: it may reboot. `keepers`: programs that keep the driver from being exchanged, so that without a reboot somebody
    must end them. `fetches`: it needs images or models that it may not have. `verified`: its last
    verification held, and nothing has changed since. `seconds`: how long its steps took on this deployment's servers
    lately, None for never.
    """

    steps: list[Step] = field(default_factory=list)
    preflight: bool = True
    restarts: list[str] = field(default_factory=list)
    busy: int | None = None
    reboot: bool = False
    keepers: list[str] = field(default_factory=list)
    fetches: bool = False
    verified: bool = False
    seconds: float | None = None
    problem: Problem | None = None

    @property
    def roles(self) -> list[str]:
        return [step.role for step in self.steps]

    def replaces(self, roles: tuple[str, ...]) -> bool:
        """Whether one of these roles is to run where it ran before."""
        steps = [step for step in self.steps if step.role in roles]
        return any(reason.kind not in (Kind.NEW, Kind.FOLLOWS) for step in steps for reason in step.reasons)

    def as_dict(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "problem"}


@dataclass
class Plan:
    """A deployment's plan.

    `desired`: host -> role -> {fingerprint, content, variables} of every target. `timings`: phase -> seconds.
    `members`: the servers as the proxies see them. `facts`: host -> which system it is, as Ansible's own facts would say.
    `leases`: host -> whose run may change it.
    """

    hosts: dict[str, HostPlan]
    desired: dict[str, dict[str, dict[str, Any]]]
    timings: dict[str, Any] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    leases: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def changing(self) -> list[str]:
        """The servers on which something is to be done."""
        return [name for name, host in self.hosts.items() if host.steps]

    @property
    def unverified(self) -> list[str]:
        """Servers that are right, and were not found working since they are."""
        return [name for name, host in self.hosts.items() if not host.steps and not host.verified and not host.problem]

    @property
    def problems(self) -> list[Problem]:
        return [host.problem for host in self.hosts.values() if host.problem]

    def hosts_of_play(self, deployment: Deployment) -> dict[str, list[str]]:
        """Play -> the servers whose role of that play is to run."""
        found = {PREFLIGHT: [name for name in self.changing if self.hosts[name].preflight]}
        found[KEEP] = [name for name in self.changing if self.hosts[name].replaces(DEEPGRAM)]
        found[BEGIN] = self.changing
        for play in plays():
            found[play.name] = [
                name for name in self.changing if play.role_of(deployment.hosts[name].vars) in self.hosts[name].roles
            ]
        return found

    def unverify(self, names: list[str]) -> None:
        """Has these servers verified, whatever was found before."""
        for name in names:
            self.hosts[name].verified = False

    def fingerprints(self, name: str) -> dict[str, str]:
        return {role: reported["fingerprint"] for role, reported in self.desired[name].items()}


def make(
    deployment: Deployment,
    lately: dict[str, float],
    tell: Callable[[str, Seen], None],
    full: bool = False,
) -> Plan:
    """Looks at every target and compares. `lately`: role -> seconds that it took a server; `full`: every role runs."""
    planner = _Planner(Desired(deployment), lately, full)
    hosts = {name: deployment.hosts[name] for name in deployment.targets}
    plan = Plan({}, {name: planner.desired.of(host) for name, host in hosts.items()})

    def hear(name: str, seen: Seen) -> None:
        checksums.compare(deployment.inventory, hosts[name], seen)
        tell(name, seen)
        plan.hosts[name] = planner.of(hosts[name], plan.desired[name], seen)  # of what was seen no more is kept
        plan.facts[name] = systems.facts(seen.system)

    look([(host, plan.fingerprints(name)) for name, host in hosts.items()], hear)
    return plan


class _Planner:
    """Makes a server's plan from what was seen there; what the plans of a thousand servers have in common is one."""

    def __init__(self, desired: Desired, lately: dict[str, float], full: bool):
        self.desired, self._lately, self._full = desired, lately, full
        self._known: dict[Hashable, Hashable] = {}

    def of(self, host: Host, desired: dict[str, dict[str, Any]], seen: Seen) -> HostPlan:
        if seen.problem:
            return HostPlan(problem=seen.problem)
        found = HostPlan(verified=seen.verified, busy=_busy(seen.answers))
        own = {f"deepgram-{part}" for part in host.parts}
        affected: list[str] = []  # roles whose run may change what others work with
        for role in self.desired.roles(host):
            why = reasons.of_role(role.name, desired[role.name], seen, self.desired.unsettled(role, host))
            why += [Reason(Kind.FOLLOWS, name) for name in affected if name in role.follows and not self._full]
            why = why or ([Reason(Kind.ASKED)] if self._full else [])
            if why:
                found.steps.append(self._step(role.name, desired[role.name]["fingerprint"], why))
                causes = [reason.cause for reason in why]
                affected += [] if role.is_calm(causes, host.vars) else [role.name]
                found.restarts += [
                    name for name in role.restarted(causes) if name not in found.restarts and name in own
                ]
                found.fetches |= matches(causes, role.fetches)
                if matches(causes, role.reboots) or (role.reboots and any(reason.kind in _IN_DOUBT for reason in why)):
                    found.reboot |= bool(host.vars.get(f"{role.name}_reboot_allowed"))
                    found.keepers += (seen.roles.get(role.name) or {}).get("keepers") or []
        found.preflight = _needs_preflight(found.steps)
        times = [self._lately[name] for name in found.roles if name in self._lately]
        found.seconds = round(sum(times), 1) if times and len(times) == len(found.roles) else None
        return found

    def _step(self, role: str, fingerprint: str, why: list[Reason]) -> Step:
        return self._one(Step(role, fingerprint, self._one(tuple(self._one(reason) for reason in why))))

    def _one(self, thing: _Thing) -> _Thing:
        return self._known.setdefault(thing, thing)


def _needs_preflight(steps: list[Step]) -> bool:
    """False only where all that changed are variables that the preflight does not look at."""
    known = role_of(PREFLIGHT.lower()).words
    return not all(
        reason.kind == Kind.FOLLOWS or (reason.variable and reason.variable not in known)
        for step in steps
        for reason in step.reasons
    )


def _busy(answers: dict[str, Any]) -> int | None:
    """Requests that the server's API has at this moment: the active_* counters of /v1/status."""
    counts = [
        value
        for body in answers.values()
        if isinstance(body, dict)
        for name, value in body.items()
        if name.startswith("active_") and isinstance(value, int)
    ]
    return sum(counts) if counts else None
