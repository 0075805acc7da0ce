"""`remove`: takes servers out of a deployment, without a caller noticing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dgctl import validation
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.base.names import suggestion
from dgctl.base.words import count, listed
from dgctl.deployment import deployment as deployments
from dgctl.deployment import inventory_edit
from dgctl.deployment.deployment import Deployment
from dgctl.deployment.fleet import OPERATOR, behind_proxies
from dgctl.output.report import HostState, Outcome
from dgctl.plan.desired import Desired
from dgctl.plan.plan import Plan
from dgctl.rollout import floor, provisioning, rollout
from dgctl.rollout.rolling import Rolling, drain_part, undrain_part
from dgctl.rollout.rollout import Policy, kind
from dgctl.run import lease, playbook
from dgctl.run import options as common
from dgctl.run.confirm import confirm
from dgctl.run.session import Session
from dgctl.run.work import Work, valid

DRAIN, UNDRAIN, STOP = "drain.yml", "undrain.yml", "stop.yml"


@dataclass(frozen=True, kw_only=True)
class Options(common.OnHosts):
    dead: bool = False
    wipe: bool = False


def remove(session: Session[Options]) -> Outcome:
    with valid(session) as work:
        hosts = _named(work.deployment, session.options.hosts)
        _require_others(work.deployment, hosts)
        inventory_edit.require_lines(work.deployment.inventory, hosts)
        work.record()
        with lease.alone(work):
            return _removed(work, hosts)


def _removed(work: Work, hosts: list[str]) -> Outcome:
    session: Session[Options] = work.session
    with _rest(work, hosts) as rest:
        _require_engines(work.deployment, rest.deployment, hosts)
        plan = _planned(work, rest, hosts)
        if plan.problems:
            return provisioning.unreachable(rest, plan)
        _require_serving(work.deployment, plan, hosts, missing=hosts if session.options.dead else [])
        provisioning.divided(rest, plan)  # what the others must do is refused now, or not at all
        confirm(session, reported(hosts, plan), f"Remove {count(len(hosts), 'server')}?")
        outcome = _carry_out(work, rest, plan, hosts)
    if outcome.exit_code == Exit.OK:
        inventory_edit.write(work.deployment.inventory, _text_without(work.deployment.inventory, hosts))
        _conclude(session, outcome, hosts)
        _tell_of_journals(work.deployment, outcome, hosts)
    return outcome


def _named(deployment: Deployment, names: tuple[str, ...]) -> list[str]:
    """The hosts to remove; raises DgctlError (exit 2) for one that is not in the inventory."""
    problems = []
    for name in names:
        if name not in deployment.targets:
            fix = suggestion(name, deployment.targets)
            problems.append(Problem("this server is not in the inventory", shown(deployment.inventory), name, fix))
    if problems:
        raise DgctlError(problems, Exit.USAGE)
    return list(dict.fromkeys(names))


def _require_others(deployment: Deployment, hosts: list[str]) -> None:
    """Raises DgctlError (exit 6) when nobody could do what a removed server does."""
    left = {kind(deployment, name) for name in deployment.targets if name not in hosts}
    last = [name for name in hosts if kind(deployment, name) not in left]
    if last:
        group, profile = kind(deployment, last[0])
        what = f"{listed(last)} {'is' if len(last) == 1 else 'are'} the last of [{group}]"
        fix = "add another server of its kind first; to give up the whole deployment, stop the servers by hand"
        raise DgctlError(Problem(what + (f" that serve {profile}" if profile else ""), last[0], fix=fix), Exit.HALTED)


def _require_engines(whole: Deployment, rest: Deployment, hosts: list[str]) -> None:
    """Raises DgctlError (exit 6) where an API that stays would have nobody to ask, of its region or one that it falls back to."""
    before = {problem.what for problem in validation.unserved(whole)}
    found = [problem for problem in validation.unserved(rest) if problem.what not in before]
    if found:
        where = shown(whole.inventory)  # the problem's own place is in a file that is gone after this
        what = f"without {listed(hosts)} "
        raise DgctlError([replace(one, what=what + one.what, where=where) for one in found], Exit.HALTED)


def _require_serving(whole: Deployment, plan: Plan, hosts: list[str], missing: list[str]) -> None:
    """Raises DgctlError (exit 6) when too few of those that stay serve at this moment; those `missing` serve no more."""
    short = floor.shortage(whole, hosts, plan.members, [*rollout.down(plan), *missing])
    if short:
        raise DgctlError(short, Exit.HALTED)


@contextlib.contextmanager
def _rest(work: Work, hosts: list[str]) -> Iterator[Work]:
    """The deployment without these hosts, from an inventory beside the real one that is gone afterwards."""
    inventory = work.deployment.inventory
    beside = inventory.with_name(f".dgctl-without-{inventory.name}")
    text = _text_without(inventory, hosts)
    try:
        beside.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
        deployment = deployments.load(beside, work.vault)
        yield Work(work.session, deployment, work.vault)
    finally:
        beside.unlink(missing_ok=True)


def _text_without(inventory: Path, hosts: list[str]) -> str:
    text = inventory_edit.read(inventory)
    for name in hosts:
        text = inventory_edit.without_host(text, name, inventory)
    return text


def _planned(work: Work, rest: Work, hosts: list[str]) -> Plan:
    """What the others must do because these hosts go, and nothing else that may be pending there."""
    before, after = Desired(work.deployment), Desired(rest.deployment)
    rest.session.record = work.session.record
    affected = [name for name in rest.deployment.targets if _changed(before, after, work, rest, name)]
    rest.deployment.targets = affected
    plan = provisioning.planned(rest)
    for name, host in plan.hosts.items():
        changed = _changed(before, after, work, rest, name)
        host.steps = [step for step in host.steps if step.role in changed]
        host.restarts = host.restarts if host.steps else []
    return plan


def _changed(before: Desired, after: Desired, work: Work, rest: Work, name: str) -> set[str]:
    was, now = before.of(work.deployment.hosts[name]), after.of(rest.deployment.hosts[name])
    return {role for role, reported in now.items() if reported["fingerprint"] != was.get(role, {}).get("fingerprint")}


def reported(hosts: list[str], plan: Plan) -> list[str]:
    informed = [f"{listed(plan.changing)}: informed of the removal"] if plan.changing else []
    return [f"{listed(hosts)}: drained, stopped, and removed from the inventory", *informed]


def _carry_out(work: Work, rest: Work, plan: Plan, hosts: list[str]) -> Outcome:
    """Drain, tell the others, stop; each step can be done again."""
    session = work.session
    proxies = [name for name in rest.deployment.members("proxy")]
    behind = [name for name in hosts if name in behind_proxies(work.deployment)]
    if behind and proxies:
        part = drain_part(proxies, behind, OPERATOR, "it is being removed", wait=not session.options.dead)
        outcome = _step(work, DRAIN, part, hosts)
        if outcome.exit_code != Exit.OK:
            return outcome
    reported = _reported(rest, plan)
    if reported.exit_code != Exit.OK:
        return reported
    if not session.options.dead:
        part = playbook.Part(hosts, {"Stop": hosts}, variables={"wipe": session.options.wipe})
        outcome = _step(work, STOP, part, hosts)
        if outcome.exit_code != Exit.OK:
            return outcome
    if behind and proxies:
        _step(work, UNDRAIN, undrain_part(proxies, behind), [])  # nobody needs the mark any more
    reported.hosts = {**{name: HostState("changed") for name in hosts}, **(reported.hosts or {})}
    return reported


def _reported(rest: Work, plan: Plan) -> Outcome:
    """Has proxies and APIs forget the servers."""
    if not plan.changing:
        return Outcome(hosts={}, log=rest.log)
    policy = Policy()
    return Rolling(rest, plan, provisioning.divided(rest, plan), plan.members, policy).run()


def _step(work: Work, name: str, part: playbook.Part, hosts: list[str]) -> Outcome:
    from dgctl.run import outcomes

    outcome = outcomes.of_playbook(work, name, alone=True, part=part)
    missing = [host for host in hosts if (outcome.hosts or {}).get(host, HostState()).state == "unreachable"]
    if missing:
        fix = "if it is lost for good: add --dead"
        outcome.errors += [Problem("a server that is to be removed does not answer", listed(missing), fix=fix)]
    return outcome


def _conclude(session: Session[Options], outcome: Outcome, hosts: list[str]) -> None:
    left = [path for name in hosts for path in session.inventory.parent.glob(f"host_vars/{name}*")]
    outcome.summary = f"{listed(hosts)} removed; {shown(session.inventory)} no longer names {_it(hosts)}"
    if left:
        outcome.summary += f"; still there: {listed([shown(Path(path)) for path in left])}"
    outcome.next_command = session.again("status")


def _tell_of_journals(deployment: Deployment, outcome: Outcome, hosts: list[str]) -> None:
    """Of Billing everything goes but what Deepgram is paid by: docs/air-gap.md."""
    left = [name for name in hosts if "billing" in deployment.hosts[name].groups]
    if left:
        places = [f"{name}:{deployment.hosts[name].vars.get('billing_journal_dir')}" for name in left]
        outcome.summary += f"; its journal is still there: {listed(places)}, to be handed to Deepgram"


def _it(hosts: list[str]) -> str:
    return "it" if len(hosts) == 1 else "them"
