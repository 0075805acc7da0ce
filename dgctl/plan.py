"""The plan: which roles would run on which server, why, and what that does to its calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dgctl.deployment import Deployment, Host
from dgctl.desired import Desired, differences
from dgctl.errors import Problem
from dgctl.fleet import Member
from dgctl.look import Seen, look
from dgctl.roles import Role, matches, plays
from dgctl.roles import role as role_of

NEW, CHANGED, DRIFTED, UNFINISHED, DISTRUSTED, FOLLOWS = (
    *("new", "changed", "drifted", "unfinished", "distrusted", "follows"),
)
VARIABLE = "variable "  # begins the subject of a reason that is about one
PREFLIGHT = "Preflight"
ASKED = "full"  # --full: the role runs because somebody wants it to


@dataclass(frozen=True)
class Reason:
    """Why a role is to run: `kind`, what it is about, and that thing before and now (texts to show)."""

    kind: str
    subject: str = ""
    before: str = ""
    now: str = ""

    @property
    def cause(self) -> str:
        """What patterns in a role's meta/effects.yml name it by."""
        return "role" if self.kind in (FOLLOWS, NEW, UNFINISHED, DISTRUSTED, ASKED) else self.subject

    def as_dict(self) -> dict[str, str]:
        return {key: value for key, value in vars(self).items() if value}


@dataclass
class Step:
    """One role's run on one server."""

    role: str
    fingerprint: str
    reasons: list[Reason]

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "reasons": [reason.as_dict() for reason in self.reasons]}


@dataclass
class HostPlan:
    """One server: the steps that it needs, none when it is right.

    `preflight`: whether anything that the preflight looks at may be another than when it last passed. `restarts`:
    containers that are made anew. `busy`: requests that they have at this moment, None for unknown.
    `reboot`: it may reboot. `verified`: its last verification held, and nothing has changed since. `seconds`: how
    long its steps took on this deployment's servers lately, None for never.
    """

    steps: list[Step] = field(default_factory=list)
    preflight: bool = True
    restarts: list[str] = field(default_factory=list)
    busy: int | None = None
    reboot: bool = False
    verified: bool = False
    seconds: float | None = None
    problem: Problem | None = None

    @property
    def roles(self) -> list[str]:
        return [step.role for step in self.steps]

    def as_dict(self) -> dict[str, Any]:
        found = {key: value for key, value in vars(self).items() if key not in ("steps", "problem")}
        return {"steps": [step.as_dict() for step in self.steps], **found}


@dataclass
class Plan:
    """A deployment's plan.

    `desired`: host -> role -> {fingerprint, content, variables} of every target. `timings`: phase -> seconds.
    `members`: the servers as the proxies see them. `reports`: host -> file -> what it holds.
    """

    hosts: dict[str, HostPlan]
    desired: dict[str, dict[str, dict[str, Any]]]
    timings: dict[str, Any] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)

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
        for play in plays():
            found[play.name] = [
                name for name in self.changing if play.role_of(deployment.hosts[name].vars) in self.hosts[name].roles
            ]
        return found

    def fingerprints(self, name: str) -> dict[str, str]:
        return {role: said["fingerprint"] for role, said in self.desired[name].items()}


def make(
    deployment: Deployment,
    lately: dict[str, float],
    tell: Callable[[str, Seen], None],
    full: bool = False,
) -> Plan:
    """Looks at every target and compares. `lately`: role -> seconds that it took a server; `full`: every role runs."""
    desired = Desired(deployment)
    hosts = [deployment.hosts[name] for name in deployment.targets]
    wanted: dict[str, dict[str, dict[str, Any]]] = {host.name: desired.of(host) for host in hosts}
    requests = [(host, {role: said["fingerprint"] for role, said in wanted[host.name].items()}) for host in hosts]
    seen = look(requests, tell)
    plans = {host.name: _of_host(host, desired, wanted[host.name], seen[host.name], lately, full) for host in hosts}
    return Plan(plans, wanted)


def _of_host(
    host: Host,
    desired: Desired,
    wanted: dict[str, dict[str, Any]],
    seen: Seen,
    lately: dict[str, float],
    full: bool,
) -> HostPlan:
    if seen.problem:
        return HostPlan(problem=seen.problem)
    found = HostPlan(verified=seen.verified, busy=_busy(seen.answers))
    for role in desired.roles(host):
        reasons = _reasons(role, wanted[role.name], seen, desired.unsettled(role, host))
        reasons += [Reason(FOLLOWS, name) for name in found.roles if name in role.follows and not full]
        reasons = reasons or ([Reason(ASKED)] if full else [])
        if reasons:
            found.steps.append(Step(role.name, wanted[role.name]["fingerprint"], reasons))
            causes = [reason.cause for reason in reasons]
            found.restarts += [name for name in role.restarted(causes) if name not in found.restarts]
            found.reboot |= bool(host.vars.get(f"{role.name}_reboot_allowed")) and matches(causes, role.reboots)
    found.preflight = _needs_preflight([reason for step in found.steps for reason in step.reasons])
    times = [lately[name] for name in found.roles if name in lately]
    found.seconds = round(sum(times), 1) if times and len(times) == len(found.roles) else None
    return found


def _needs_preflight(reasons: list[Reason]) -> bool:
    """False only where all that changed are variables that the preflight does not look at."""
    known = role_of(PREFLIGHT.lower()).words
    return not all(
        reason.kind == FOLLOWS
        or (reason.kind == CHANGED and reason.subject.startswith(VARIABLE) and _name(reason) not in known)
        for reason in reasons
    )


def _name(reason: Reason) -> str:
    """The variable that a reason is about."""
    return reason.subject.removeprefix(VARIABLE).partition(" ")[0]


def _reasons(role: Role, wanted: dict[str, Any], seen: Seen, unsettled: list[str]) -> list[Reason]:
    """Why this role is not right on its server; nothing when it is."""
    said = seen.roles.get(role.name) or {"state": DISTRUSTED, "why": seen.doubt or "the look said nothing of it"}
    found = [Reason(CHANGED, f"{VARIABLE}{name}", now="only the server's facts tell its value") for name in unsettled]
    if said["state"] in (NEW, UNFINISHED, DISTRUSTED):
        found.append(Reason(said["state"], said.get("why") or ""))
    if said["state"] == CHANGED:
        found += _changes(said.get("applied") or {}, wanted)
    found += [Reason(DRIFTED, thing["thing"], now=thing["how"]) for thing in said.get("drift") or []]
    if said["state"] != "right" and not found:
        found.append(Reason(DISTRUSTED, f"the look calls it {said['state']}, and does not say why"))
    return found


def _changes(applied: dict[str, Any], wanted: dict[str, Any]) -> list[Reason]:
    found = [
        Reason(CHANGED, f"{VARIABLE}{name}", shown(before), shown(now))
        for name, before, now in differences(applied, wanted)
    ]
    if applied and applied.get("content") != wanted["content"]:
        found.append(Reason(CHANGED, "role", now="it is another than the one that ran here"))
    return found


def shown(value: Any) -> str:
    """A variable's value as people read it; a secret's is not shown."""
    if isinstance(value, dict) and set(value) == {"secret"}:
        return "(secret)"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:119]}…"


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
