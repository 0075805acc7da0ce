"""What `plan` and `provision` share: the look with its plan, the run of what the plan says, the proof that it works."""

from __future__ import annotations

import dataclasses
import importlib
import threading
import time
from collections.abc import Iterable
from typing import Any

from dgctl.base.errors import DgctlError, Exit
from dgctl.base.words import count, listed
from dgctl.deployment import fleet
from dgctl.deployment.deployment import PROXIES
from dgctl.output.report import FAIL, HostState, Outcome
from dgctl.plan import look
from dgctl.plan import plan as plans
from dgctl.plan.desired import Desired
from dgctl.plan.plan import Plan
from dgctl.rollout import plan_text, rollout
from dgctl.rollout.rollout import Policy, Rollout
from dgctl.run import history, outcomes, playbook
from dgctl.run.work import Work

PLAYBOOK = "provision.yml"
LOOK = "Look"


def planned(work: Work) -> Plan:
    """Looks at every target, and shows which are right as their answers come."""
    lately = history.lately(work.session.inventory)
    start, started = work.session.seconds, time.monotonic()
    runner: threading.Thread | None = None
    reports: dict[str, dict[str, Any]] = {}
    leases: dict[str, dict[str, Any]] = {}
    with work.progress([LOOK]) as shown:
        shown.phase(LOOK)

        def tell(name: str, seen: look.Seen) -> None:
            nonlocal runner
            reports[name], leases[name] = seen.reports, seen.lease
            right = seen.is_in_sync
            state = "unreachable" if seen.problem else "ok" if right else "changed"
            shown.host(name, state, seen.problem.what if seen.problem else "in sync" if right else "not in sync")
            if not right and runner is None and work.session.command == "provision":
                runner = threading.Thread(target=importlib.import_module, args=("ansible_runner",), daemon=True)
                runner.start()  # it takes half a second, which other looks can use

        plan = plans.make(work.deployment, lately, tell, work.session.options.full)
        plan.members = fleet.members((name, files) for name, files in _proxies(work, reports, leases) if files)
        plan.leases = leases
    plan.timings = {"start": round(start, 2), "look": round(time.monotonic() - started, 2)}
    return plan


def seen_by_proxies(work: Work) -> dict[str, fleet.Member]:
    """The servers as the proxies see them now."""
    return fleet.members((name, files) for name, files in _proxies(work, {}, {}) if files)


def _proxies(
    work: Work, reports: dict[str, dict[str, Any]], leases: dict[str, dict[str, Any]]
) -> Iterable[tuple[str, dict[str, Any]]]:
    """(proxy, its reports); those that --limit left out are asked only for these, and for their leases."""
    proxies = work.deployment.members(PROXIES)
    missing = [work.deployment.hosts[name] for name in proxies if name not in reports]

    def tell(name: str, seen: look.Seen) -> None:
        reports[name], leases[name] = seen.reports, seen.lease

    if missing:
        desired = Desired(work.deployment)
        look.look([(host, {role.name: "" for role in desired.roles(host)}) for host in missing], tell)
    return [(name, reports[name]) for name in proxies]


def divided(work: Work, plan: Plan) -> Rollout:
    """Which servers are changed when; raises DgctlError (exit 6) before harm where too few would go on serving."""
    policy = Policy.of(work.session.options)
    found = rollout.make(work.deployment, plan, plan.members, policy)
    if found.problems:
        raise DgctlError(found.problems, Exit.HALTED)
    return found


def outcome_of(work: Work, plan: Plan) -> Outcome:
    """The plan as an outcome: exit 10 when something would change, 7 when a server could not be asked."""
    outcome = Outcome(hosts={}, lowered=work.lowered(), log=work.log, timings=dict(plan.timings))
    for name, host in plan.hosts.items():
        state = "unreachable" if host.problem else "changed" if host.steps else "ok"
        outcome.hosts[name] = HostState(state, len(host.steps), [host.problem] if host.problem else [])
        outcome.hosts[name].plan = host if host.steps else None
    outcome.errors = plan.problems
    outcome.exit_code = Exit.UNREACHABLE if plan.problems else Exit.CHANGES if plan.changing else Exit.OK
    outcome.summary = _summary(plan)
    outcome.text = [] if work.session.as_json else plan_text.lines(plan, work.session.verbosity > 0)
    return outcome


def _summary(plan: Plan) -> str:
    changing = len(plan.changing)
    text = f"{changing} of {count(len(plan.hosts), 'server')} would change{plan_text.reboots(plan)}"
    return text + (f", {len(plan.problems)} could not be asked" if plan.problems else "")


def unreachable(work: Work, plan: Plan) -> Outcome:
    """Nothing was touched, because not every server could be inspected."""
    outcome = outcome_of(work, plan)
    for host in outcome.hosts.values():
        host.state, host.changed, host.plan = (host.state if host.errors else "skipped"), 0, None
    missing = [name for name, host in plan.hosts.items() if host.problem]
    outcome.text = []
    outcome.summary = f"nothing was changed: {listed(missing)} could not be inspected"
    if len(missing) < len(plan.hosts):
        outcome.next_command = work.session.again(limit=":".join(["all", *(f"!{name}" for name in missing)]))
    else:
        outcome.next_command = work.session.again()
    return outcome


def part_of(plan: Plan, work: Work, only: list[str] | None = None) -> playbook.Part:
    """What of the playbook the plan wants to run; on `only` these servers it runs without the preflight."""
    hosts = plan.changing if only is None else only
    desired: dict[str, Any] = {name: {"roles": plan.desired[name], "begin": plan.hosts[name].roles} for name in hosts}
    plays = plan.hosts_of_play(work.deployment)
    if only is not None:
        plays = {play: [name for name in names if name in only] for play, names in plays.items()}
        plays[plans.PREFLIGHT] = []
    return playbook.Part(hosts, plays, desired, {name: plan.facts[name] for name in hosts if plan.facts.get(name)})


def started(work: Work, plan: Plan, part: playbook.Part) -> playbook.Part:
    """The part that is left once servers have noted, over the look's own connection, what is about to run there.

    Preflight and the copy of what was verified come before that note. So it stays the playbook's own task on servers
    that need one of them; and on those that could not note it, of which Ansible then says why.
    """
    names = [name for name in part.hosts if name not in part.hosts_of_play[plans.KEEP]]
    if work.session.options.check or part.has(plans.PREFLIGHT) or not names:
        return part
    asked = [(work.deployment.hosts[name], dict.fromkeys(plan.hosts[name].roles, "")) for name in names]
    left, since = set(part.hosts), time.monotonic()

    def tell(name: str, noted: bool) -> None:
        shown.host(name, "ok" if noted else "running", "" if noted else "is asked again")
        if noted:
            left.remove(name)

    with work.progress([plans.BEGIN], names) as shown:
        shown.phase(plans.BEGIN)
        look.mark_started(asked, tell)
    plan.timings["begin"] = round(plan.timings.get("begin", 0.0) + time.monotonic() - since, 2)
    plays = {**part.hosts_of_play, plans.BEGIN: [name for name in part.hosts if name in left]}
    return dataclasses.replace(part, hosts_of_play=plays)


def done(work: Work, plan: Plan, rollout: Rollout) -> Outcome:
    """Carries out a plan, and verifies what it changed."""
    from dgctl.rollout.rolling import Rolling

    session = work.session
    if plan.changing and not session.options.check:
        history.forget_rollback(session.inventory)
    if rollout.simple or session.options.check:
        outcome = carry_out(work, plan)
        if outcome.exit_code == Exit.OK and not session.options.check:
            prove(work, plan, outcome)
    else:
        outcome = Rolling(work, plan, rollout, plan.members, Policy.of(session.options)).run()
    outcome.text += plan_text.notes(rollout)
    if outcome.exit_code in (Exit.OK, Exit.VERIFY) and not session.options.check:
        session.record.timings(outcome.timings)
    return outcome


def carry_out(work: Work, plan: Plan) -> Outcome:
    """Runs what the plan says; servers in sync are left out."""
    if plan.changing:
        ran = outcomes.of_playbook(work, PLAYBOOK, alone=True, part=started(work, plan, part_of(plan, work)))
    else:
        ran = Outcome(lowered=work.lowered(), log=work.log, summary=_all_right(plan))
    hosts = ran.hosts or {}
    ran.hosts = {name: hosts.get(name) or HostState() for name in plan.hosts}
    if plan.changing and len(plan.changing) < len(plan.hosts):
        ran.summary += f"; {len(plan.hosts) - len(plan.changing)} were in sync"
    ran.timings = {**plan.timings, **ran.timings}
    ran.brief = True
    if ran.exit_code != Exit.PREFLIGHT:
        ran.checks = None  # a passed preflight is no news here
    return ran


def _all_right(plan: Plan) -> str:
    return "the server is in sync" if len(plan.hosts) == 1 else f"all {len(plan.hosts)} servers are in sync"


def prove(work: Work, plan: Plan, outcome: Outcome) -> None:
    """Verifies what was changed or not yet proven, and has the servers remember that it held."""
    hosts = [name for name in plan.hosts if name in {*plan.changing, *plan.unverified}]
    if not hosts:
        return
    started = time.monotonic()
    outcomes.add_verify(outcome, work, hosts)
    bad = {check.host for check in outcome.checks or [] if check.verdict == FAIL}
    proven = [name for name in hosts if name not in bad and any(c.host == name for c in outcome.checks or [])]
    look.mark_verified((work.deployment.hosts[name], plan.fingerprints(name)) for name in proven)
    outcome.timings["verify"] = round(time.monotonic() - started, 2)


def diffs(work: Work, plan: Plan) -> list[dict[str, str]]:
    """What the planned roles would write, from a run of only them in check mode."""
    found: list[dict[str, str]] = []

    def hear(event: dict[str, Any]) -> None:
        data = event.get("event_data") or {}
        if event["event"] != "runner_on_ok":
            return
        for text in plan_text.diffs_of(data.get("res") or {}):
            clean = work.session.record.redact(text)
            found.append({"host": data["host"], "role": data.get("role", ""), "task": data["task"], "text": clean})

    with work.progress(playbook.phases(PLAYBOOK), plan.changing) as shown:
        job = playbook.Run(PLAYBOOK, work.deployment, work.vault, work.session.record, shown)
        job.check, job.diff, job.part, job.on_event = True, True, part_of(plan, work), hear
        playbook.run(job)
    return found
