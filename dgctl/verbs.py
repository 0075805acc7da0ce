"""What each verb does, between its options (cli.py) and its outcome (report.py)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dgctl import deployment as deployments
from dgctl import history, lock, playbook, progress, vault
from dgctl.deployment import Deployment
from dgctl.errors import DgctlError, Exit, Problem
from dgctl.report import FAIL, REACHABLE, Check, HostState, Outcome, problem_of_check, states_of_checks
from dgctl.session import Session, interrupted
from dgctl.validation import require_valid
from dgctl.validation import secrets as secret

PREFLIGHT = "Preflight"


@dataclass
class Work:
    """A valid deployment, ready to be run on."""

    session: Session
    deployment: Deployment
    vault: vault.VaultOptions

    @property
    def log(self) -> str:
        return str(self.session.record.log_path)

    def lowered(self) -> list[dict[str, Any]]:
        return deployments.lowered(self.deployment)


@contextmanager
def _valid(session: Session) -> Iterator[Work]:
    """Reads and validates the deployment; raises DgctlError with every problem."""
    options = (session.vault_password_file, session.vault_id, session.ask_vault_pass)
    with vault.opened(session.inventory, *options) as passwords:
        deployment = deployments.load(session.inventory, passwords, session.limit)
        require_valid(deployment)
        yield Work(session, deployment, passwords)


@contextmanager
def _recorded(session: Session) -> Iterator[Work]:
    """The same, with a run record open."""
    with _valid(session) as work:
        _open_record(work)
        yield work


def _open_record(work: Work) -> None:
    redact = history.Redactor(secret.values(work.deployment))
    work.session.record = history.Record(work.session.inventory, work.session.command, redact)


def validate(session: Session) -> Outcome:
    with _valid(session) as work:
        hosts = {name: HostState() for name in work.deployment.targets}
        return Outcome(
            hosts=hosts,
            lowered=work.lowered(),
            summary=f"valid: {_count(len(hosts), 'server')}",
            next_command=session.again("preflight"),
        )


def preflight(session: Session) -> Outcome:
    with _recorded(session) as work:
        outcome = _run(work, "preflight.yml")
        outcome.checks = outcome.checks or []
        if outcome.exit_code == Exit.OK:
            outcome.next_command = session.again("provision")
        return outcome


def provision(session: Session) -> Outcome:
    if not session.yes and not session.check and not sys.stdin.isatty():
        problem = Problem("nobody is here to confirm", "stdin is not a terminal", fix="add --yes, or look with --check")
        raise DgctlError(problem, Exit.USAGE)
    with _valid(session) as work:
        if not session.yes and not session.check:
            _confirm(work)
        with lock.held(history.folder(session.inventory), lock.this_command()):
            _open_record(work)
            outcome = _run(work, "provision.yml", alone=True)
            if outcome.exit_code != Exit.PREFLIGHT:
                outcome.checks = None  # a passed preflight is no news here
            if outcome.exit_code == Exit.OK and not session.check:
                _verify_into(outcome, work)
        return outcome


def verify(session: Session) -> Outcome:
    with _recorded(session) as work:
        outcome = Outcome(hosts={}, lowered=work.lowered(), log=work.log)
        _verify_into(outcome, work)
        return outcome


def status(session: Session) -> Outcome:
    with _recorded(session) as work:
        outcome = _run(work, "status.yml")
        _judge(outcome, work)
        outcome.next_command = session.again("verify") if outcome.exit_code == Exit.OK else outcome.next_command
        return outcome


def _judge(outcome: Outcome, work: Work) -> None:
    """A server whose status names problems is not ok: its state is failed, and the exit code 8."""
    fix = f"{work.session.again('verify')} says what to do"
    for name, host in outcome.hosts.items():
        host.errors += [Problem(str(text), name, fix=fix) for text in host.status.get("problems") or []]
        if host.errors and host.state == "ok":
            host.state = "failed"
    outcome.errors = [problem for host in outcome.hosts.values() for problem in host.errors] or outcome.errors
    if outcome.exit_code == Exit.OK and outcome.errors:
        outcome.exit_code = Exit.VERIFY
    well = sum(host.state == "ok" for host in outcome.hosts.values())
    outcome.summary = f"{well} of {_count(len(outcome.hosts), 'server')} well"


def _confirm(work: Work) -> None:
    """Shows what will be touched, and asks; raises KeyboardInterrupt (exit 130) for a no."""
    import click

    for name in work.deployment.targets:
        host = work.deployment.hosts[name]
        facts = [
            str(host.vars.get(key)) for key in ("deepgram_release", "deepgram_container_engine") if host.vars.get(key)
        ]
        facts.append(f"driver {host.vars.get('nvidia_driver_version') or host.vars.get('nvidia_driver_branch')}")
        facts.append(_count(len(host.vars.get("deepgram_models_links") or []), "model"))
        facts.append("may reboot" if host.vars.get("nvidia_driver_reboot_allowed") else "no reboot")
        click.echo(f"  {name}  {host.address}  {', '.join(facts)}", err=True)
    question = f"Provision {_count(len(work.deployment.targets), 'server')}?"
    if not click.confirm(question, err=True):
        raise DgctlError(Problem("not confirmed: nothing was touched"), Exit.INTERRUPTED)


def _run(work: Work, name: str, alone: bool = False) -> Outcome:
    """One playbook on the targets, as an outcome: its exit code comes from events alone."""
    session = work.session
    with progress.shown(work.deployment.targets, playbook.phases(name), session.verbosity > 0) as shown:
        job = playbook.Run(name, work.deployment, work.vault, session.record, shown)
        job.check, job.verbosity, job.alone = session.check, session.verbosity, alone
        result = playbook.run(job)
    hosts = {
        name: HostState(each.state, each.changed, each.errors, each.seconds, each.data)
        for name, each in result.hosts.items()
    }
    outcome = Outcome(_exit_code(result), _errors(result), hosts, result.findings or None, log=work.log)
    _itemise(outcome)
    outcome.lowered = result.lowered or work.lowered()
    _conclude(outcome, work, result)
    return outcome


def _itemise(outcome: Outcome) -> None:
    """The one message of a failed preflight becomes its findings, a problem each."""
    if outcome.exit_code != Exit.PREFLIGHT:
        return
    for name, host in outcome.hosts.items():
        failed = [check for check in outcome.checks or [] if check.host == name and check.verdict == FAIL]
        host.errors = [problem_of_check(check) for check in failed] or host.errors
    outcome.errors = [problem for host in outcome.hosts.values() for problem in host.errors]


def _exit_code(result: playbook.RunResult) -> Exit:
    states = {host.state for host in result.hosts.values()}
    if result.interrupted:
        return Exit.INTERRUPTED
    if result.broken:
        return Exit.BUG
    failed = [name for name, host in result.hosts.items() if host.state == "failed"]
    if failed and all(result.failed_in.get(name) == PREFLIGHT for name in failed):
        return Exit.PREFLIGHT
    if failed:
        return Exit.HALTED
    return Exit.UNREACHABLE if "unreachable" in states else Exit.OK


def _errors(result: playbook.RunResult) -> list[Problem]:
    found = [result.broken] if result.broken else []
    return found + [problem for host in result.hosts.values() for problem in host.errors]


def _conclude(outcome: Outcome, work: Work, result: playbook.RunResult) -> None:
    """The summary line and the next command of a playbook's run."""
    counts = {state: sum(host.state == state for host in outcome.hosts.values()) for state in ("ok", "changed")}
    bad = len(outcome.hosts) - sum(counts.values())
    tasks = sum(host.changed for host in outcome.hosts.values())
    would = "would change" if work.session.check else "changed"
    outcome.summary = f"{_count(len(outcome.hosts), 'server')}: {counts['ok']} ok, {counts['changed']} {would}"
    outcome.summary += f" ({_count(tasks, 'task')})" + (f", {bad} not done" if bad else "")
    if result.interrupted:
        outcome.errors = [*interrupted(work.session).errors, *outcome.errors]
    if outcome.exit_code != Exit.OK:
        outcome.next_command = work.session.again()


def _verify_into(outcome: Outcome, work: Work) -> None:
    """Verifies the targets into `outcome`: exit 8 when a check fails, 7 when only the network does."""
    from dgctl import verify as suite

    with progress.shown(work.deployment.targets, ["Verify"], work.session.verbosity > 0) as shown:
        shown.phase("Verify")
        checks = suite.run(work.deployment, work.deployment.targets, work.vault, shown)
    outcome.checks = checks
    for name, state in states_of_checks(work.deployment.targets, checks).items():
        host = outcome.hosts.setdefault(name, state)
        if state.state != "ok":
            host.state, host.errors = state.state, [*host.errors, *state.errors]
    outcome.errors += [problem for host in outcome.hosts.values() for problem in host.errors]
    failed = [check for check in checks if check.verdict == FAIL]
    outcome.exit_code = _verdict(failed, checks)
    passed = f"{len(checks) - len(failed)} of {_count(len(checks), 'check')} hold"
    outcome.summary = f"{outcome.summary}; {passed}" if outcome.summary else passed
    verb = "status" if outcome.exit_code == Exit.OK else "verify"
    outcome.next_command = work.session.again(verb)


def _verdict(failed: list[Check], checks: list[Check]) -> Exit:
    if not checks:
        return Exit.VERIFY  # nothing looked at is nothing proven
    if not failed:
        return Exit.OK
    return Exit.UNREACHABLE if all(check.check == REACHABLE for check in failed) else Exit.VERIFY


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
