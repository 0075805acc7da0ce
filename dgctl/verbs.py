"""What each verb does, between its options (cli.py) and its outcome (report.py)."""

from __future__ import annotations

import sys

from dgctl import history, lock, outcomes, plan_file, plan_text, provisioning
from dgctl.errors import DgctlError, Exit, Problem
from dgctl.plan import Plan
from dgctl.report import Outcome
from dgctl.rollout import Rollout
from dgctl.session import Session
from dgctl.words import count
from dgctl.work import recorded, valid


def preflight(session: Session) -> Outcome:
    with recorded(session) as work:
        outcome = outcomes.of_playbook(work, "preflight.yml")
        outcome.checks = outcome.checks or []
        if outcome.exit_code == Exit.OK:
            outcome.next_command = session.again("provision")
        return outcome


def plan(session: Session) -> Outcome:
    if session.out:
        plan_file.require_free(session.out)
    with recorded(session) as work:
        found = provisioning.planned(work)
        outcome = provisioning.outcome_of(work, found)
        if found.changing and not found.problems:
            outcome.text += plan_text.order(provisioning.divided(work, found))
        if session.out:
            plan_file.write(found, session.out)
        if session.verbosity and found.changing:
            outcome.diffs = provisioning.diffs(work, found)
            outcome.text += plan_text.diffs(outcome.diffs)
        if found.changing:
            outcome.next_command = session.again("provision", plan=session.out)
        return outcome


def provision(session: Session) -> Outcome:
    if not session.yes and not session.check and not sys.stdin.isatty():
        fix = "add --yes, or look with `dgctl plan`"
        raise DgctlError(Problem("nobody is here to confirm", "stdin is not a terminal", fix=fix), Exit.USAGE)
    planned = plan_file.read(session.plan) if session.plan else None
    with valid(session) as work, lock.held(history.folder(session.inventory), lock.this_command()):
        work.record()
        found = provisioning.planned(work)
        if found.problems:
            return provisioning.unreachable(work, found)
        rollout = provisioning.divided(work, found)
        if planned is not None:
            plan_file.require_within(planned, found)
        if found.changing and not session.yes and not session.check:
            _confirm(found, rollout)
        return provisioning.done(work, found, rollout)


def verify(session: Session) -> Outcome:
    with recorded(session) as work:
        outcome = Outcome(hosts={}, lowered=work.lowered(), log=work.log)
        outcomes.add_verify(outcome, work)
        return outcome


def _confirm(found: Plan, rollout: Rollout) -> None:
    """Shows the plan, and asks; raises DgctlError (exit 130) for a no."""
    import click

    for line in [*plan_text.lines(found), *plan_text.order(rollout)]:
        click.echo(line, err=True)
    if not click.confirm(f"Provision {count(len(found.changing), 'server')}{plan_text.reboots(found)}?", err=True):
        raise DgctlError(Problem("not confirmed: nothing was touched", fix="answer y, or add --yes"), Exit.INTERRUPTED)
