"""What each verb does, between its options (cli.py) and its outcome (report.py)."""

from __future__ import annotations

import sys

from dgctl import history, lock, outcomes
from dgctl.errors import DgctlError, Exit, Problem
from dgctl.outcomes import count
from dgctl.report import HostState, Outcome
from dgctl.session import Session
from dgctl.work import Work, recorded, valid


def validate(session: Session) -> Outcome:
    with valid(session) as work:
        hosts = {name: HostState() for name in work.deployment.targets}
        summary = f"valid: {count(len(hosts), 'server')}"
        next_command = session.again("preflight")
        return Outcome(hosts=hosts, lowered=work.lowered(), summary=summary, next_command=next_command)


def preflight(session: Session) -> Outcome:
    with recorded(session) as work:
        outcome = outcomes.of_playbook(work, "preflight.yml")
        outcome.checks = outcome.checks or []
        if outcome.exit_code == Exit.OK:
            outcome.next_command = session.again("provision")
        return outcome


def provision(session: Session) -> Outcome:
    if not session.yes and not session.check and not sys.stdin.isatty():
        fix = "add --yes, or look with --check"
        raise DgctlError(Problem("nobody is here to confirm", "stdin is not a terminal", fix=fix), Exit.USAGE)
    with valid(session) as work:
        if not session.yes and not session.check:
            _confirm(work)
        with lock.held(history.folder(session.inventory), lock.this_command()):
            work.record()
            outcome = outcomes.of_playbook(work, "provision.yml", alone=True)
            outcome.brief = True
            if outcome.exit_code != Exit.PREFLIGHT:
                outcome.checks = None  # a passed preflight is no news here
            if outcome.exit_code == Exit.OK and not session.check:
                outcomes.add_verify(outcome, work)
        return outcome


def verify(session: Session) -> Outcome:
    with recorded(session) as work:
        outcome = Outcome(hosts={}, lowered=work.lowered(), log=work.log)
        outcomes.add_verify(outcome, work)
        return outcome


def status(session: Session) -> Outcome:
    with recorded(session) as work:
        outcome = outcomes.of_playbook(work, "status.yml")
        outcomes.add_status(outcome, work)
        return outcome


def _confirm(work: Work) -> None:
    """Shows what will be touched, and asks; raises DgctlError (exit 130) for a no."""
    import click

    for name in work.deployment.targets:
        host = work.deployment.hosts[name]
        known = host.vars.get
        facts = [known("deepgram_release"), known("deepgram_container_engine")]
        facts.append(f"driver {known('nvidia_driver_version') or known('nvidia_driver_branch')}")
        facts.append(count(len(known("deepgram_models_links") or []), "model"))
        facts.append("may reboot" if known("nvidia_driver_reboot_allowed") else "no reboot")
        click.echo(f"  {name}  {host.address}  {', '.join(str(fact) for fact in facts if fact)}", err=True)
    if not click.confirm(f"Provision {count(len(work.deployment.targets), 'server')}?", err=True):
        raise DgctlError(Problem("not confirmed: nothing was touched", fix="answer y, or add --yes"), Exit.INTERRUPTED)
