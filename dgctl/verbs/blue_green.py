"""`upgrade --blue-green`: one group of servers is built and verified beside the other, then the proxies switch."""

from __future__ import annotations

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.base.names import nearest
from dgctl.base.words import listed
from dgctl.deployment import fleet
from dgctl.deployment.deployment import PROXIES, Deployment
from dgctl.deployment.fleet import OPERATOR, Member
from dgctl.output.report import Outcome
from dgctl.rollout import floor, plan_text, provisioning, rollout
from dgctl.rollout.rolling import Rolling, drain_part, in_reach
from dgctl.rollout.rollout import Policy
from dgctl.run import lease, outcomes, playbook
from dgctl.run.confirm import confirm
from dgctl.run.session import Session
from dgctl.run.work import Work, valid
from dgctl.verbs.upgrade import Asked, written

NOTE = "built beside those that serve"


def upgrade(session: Session, asked: Asked) -> Outcome:
    with valid(session) as work:
        green, blue = sides(work.deployment, session.options.green)
        work.record()
        with lease.alone(work):
            return _switched(work, asked, green, blue)


def _switched(work: Work, asked: Asked, green: list[str], blue: list[str]) -> Outcome:
    session = work.session
    with written(work, asked, green) as changed:
        changed.deployment.targets = [*green, *in_reach(work)]
        plan = provisioning.planned(changed)
        if plan.problems:
            raise DgctlError(plan.problems, Exit.UNREACHABLE)
        require_serving(changed.deployment, plan.members, green, blue)
        lines = [*plan_text.lines(plan), *order(green, blue)]
        confirm(session, lines, f"Build {listed(green)} with {asked}, and switch?")
    held = _held(changed, green)
    if held.exit_code != Exit.OK:
        return held
    members = {**plan.members, **{name: Member(name, {"": fleet.DRAINED}, OPERATOR) for name in green}}
    policy = Policy.of(session.options)
    plan.unverify(green)  # nothing is switched to that was not just seen working
    outcome = Rolling(changed, plan, rollout.make(changed.deployment, plan, members, policy), members, policy).run()
    if outcome.exit_code == Exit.OK:
        _switch(changed, outcome, green, blue)
    return outcome


def sides(deployment: Deployment, group: str) -> tuple[list[str], list[str]]:
    """(the servers of the group, those that they stand in for); raises DgctlError (exit 2) for no such group."""
    serving = fleet.behind_proxies(deployment)
    green = [name for name in deployment.groups.get(group, ()) if name in serving]
    if not green:
        near = nearest(group, deployment.groups)
        fix = f"did you mean {near}?" if near else "name a group whose servers are behind the proxies"
        problem = Problem("no server of this group is behind a proxy", shown(deployment.inventory), group, fix)
        raise DgctlError(problem, Exit.USAGE)
    kinds = {rollout.kind(deployment, name) for name in green}
    return green, [name for name in serving if name not in green and rollout.kind(deployment, name) in kinds]


def require_serving(deployment: Deployment, members: dict[str, Member], green: list[str], blue: list[str]) -> None:
    """Raises DgctlError (exit 6) when too few servers of a kind would serve while these are built, or after the switch."""
    switched = floor.joined(members, [], green)
    short = floor.shortage(deployment, green, members) or floor.shortage(deployment, blue, switched)
    if short:
        raise DgctlError(short, Exit.HALTED)


def order(green: list[str], blue: list[str]) -> list[str]:
    return [
        "order:",
        f"  1. built and verified, without requests: {listed(green)}",
        f"  2. the proxies switch: requests to {listed(green)}, none to {listed(blue) or 'others'}",
    ]


def _held(work: Work, green: list[str]) -> Outcome:
    """Keeps the servers to build from the proxies' requests, also those that the proxies do not know yet."""
    part = drain_part(in_reach(work), green, OPERATOR, NOTE, wait=False)
    outcome = outcomes.of_playbook(work, "drain.yml", alone=True, part=part)
    if outcome.exit_code != Exit.OK:
        return outcome
    serving = [name for name, member in provisioning.seen_by_proxies(work).items() if name in green]
    if not serving:
        return outcome
    waiting = drain_part(in_reach(work), serving, OPERATOR, NOTE)
    return outcomes.of_playbook(work, "drain.yml", alone=True, part=waiting)


def _switch(work: Work, outcome: Outcome, green: list[str], blue: list[str]) -> None:
    """Both at one moment on every proxy: first the new ones serve, then the old ones no more."""
    proxies = work.deployment.members(PROXIES)
    note = "stands by; `dgctl upgrade --blue-green` switches back"
    variables = {"undrain": green, "drain": blue, "drain_reason": OPERATOR, "drain_note": note}
    part = playbook.Part(proxies, {"Switch": proxies}, variables=variables)
    done = outcomes.of_playbook(work, "switch.yml", alone=True, part=part)
    if done.exit_code != Exit.OK:
        outcome.exit_code, outcome.errors = done.exit_code, [*outcome.errors, *done.errors]
        outcome.summary = f"{listed(green)} built; not every proxy has switched: run the same command again"
        outcome.next_command = work.session.again()
        return
    for name in green:
        state = (outcome.hosts or {}).get(name)
        if state and state.state == fleet.DRAINED:
            state.state = "changed" if state.changed else "ok"
    outcome.summary = f"requests go to {listed(green)}; {listed(blue) or 'no other'} drained, and unchanged"
    outcome.next_command = work.session.again("status")
