"""Outcomes of runs: which exit code, which errors, which summary follow from what happened."""

from __future__ import annotations

import statistics
from dataclasses import replace

from dgctl.base.errors import Exit, Problem
from dgctl.base.words import count
from dgctl.deployment import images, models
from dgctl.deployment.deployment import Deployment
from dgctl.output.report import (
    FAIL,
    NO_API_YET,
    PASS,
    REACHABLE,
    SKIP,
    Check,
    HostState,
    Outcome,
    problem_of_check,
    states_of_checks,
)
from dgctl.run import playbook
from dgctl.run.collector import HostResult, RunResult
from dgctl.run.session import interrupted
from dgctl.run.work import Work

PREFLIGHT = "Preflight"
TRANSCRIPTION = "transcription"  # begins the names of the checks that send test requests


def of_playbook(work: Work, name: str, alone: bool = False, part: playbook.Part | None = None) -> Outcome:
    """Runs a playbook on the targets, or on a part of them; the exit code comes from events alone."""
    result = ran(work, name, alone, part)
    outcome = Outcome(_exit_code(result), checks=result.findings or None, log=work.log)
    outcome.hosts = {
        name: HostState(each.state, each.changed, each.errors, each.seconds, each.data)
        for name, each in result.hosts.items()
    }
    outcome.lowered = result.lowered or work.lowered()
    add_moved(outcome, work, result, part)
    add_timings(outcome, result)
    _conclude(outcome, work, result)
    return outcome


def ran(work: Work, name: str, alone: bool = False, part: playbook.Part | None = None) -> RunResult:
    """One run of a playbook with the session's options, shown as it goes; servers get the images and models that others got."""
    session, inventory = work.session, work.deployment.inventory
    work.require_lease()
    if part:
        pins = {lock.VARIABLE: lock.read(inventory) for lock in (images, models)}
        part = replace(part, variables={**pins, **part.variables})
    with work.progress(playbook.phases(name), part.hosts if part else None) as shown:
        job = playbook.Run(name, work.deployment, work.vault, session.record, shown)
        job.check, job.verbosity, job.alone, job.part = session.options.check, session.verbosity, alone, part
        result = playbook.run(job)
    for host, got in result.pins.items():
        images.learn(inventory, work.deployment.hosts[host], got)
        if problems := models.learn(inventory, work.deployment.hosts[host], got):
            ended = result.hosts.setdefault(host, HostResult())
            ended.state, ended.errors = "failed", [*ended.errors, *problems]
    return result


def add_moved(outcome: Outcome, work: Work, result: RunResult, part: playbook.Part | None) -> None:
    """Adds a hint for each pinned tag that leads to another image by now; each once."""
    release = str(part.variables.get("deepgram_release") or "") if part else ""
    found = images.moved(work.deployment.inventory, result.moved, release)
    outcome.hints += [hint for hint in found if hint not in outcome.hints]


def add_timings(outcome: Outcome, result: RunResult) -> None:
    """Adds a run's seconds; of a role that ran more than once the last counts."""
    tasks = max((host.seconds for host in result.hosts.values()), default=0.0)
    outcome.timings["tasks"] = outcome.timings.get("tasks", 0.0) + tasks
    outcome.timings["roles"] = {**outcome.timings.get("roles", {}), **_roles(result)}


def _roles(result: RunResult) -> dict[str, float]:
    """Role -> seconds that it took a server, the middle one of all that it was done on."""
    found: dict[str, list[float]] = {}
    for host in result.hosts.values():
        for role, seconds in host.roles.items():
            if host.state in ("ok", "changed"):
                found.setdefault(role, []).append(seconds)
    return {role: round(statistics.median(seconds), 2) for role, seconds in found.items()}


def _exit_code(result: RunResult) -> Exit:
    if result.interrupted:
        return Exit.INTERRUPTED
    if result.broken:
        return Exit.BUG
    failed = [name for name, host in result.hosts.items() if host.state == "failed"]
    if failed and all(result.failed_in.get(name) == PREFLIGHT for name in failed):
        return Exit.PREFLIGHT
    if failed:
        return Exit.HALTED
    unreachable = any(host.state == "unreachable" for host in result.hosts.values())
    return Exit.UNREACHABLE if unreachable else Exit.OK


def _conclude(outcome: Outcome, work: Work, result: RunResult) -> None:
    """The errors, the summary line and the next command of a playbook's run."""
    if outcome.exit_code == Exit.PREFLIGHT:
        _itemise(outcome)
    outcome.errors += interrupted(work.session).errors if result.interrupted else []
    outcome.errors += [result.broken] if result.broken else []
    outcome.errors += _of_hosts(outcome)
    states = [host.state for host in outcome.hosts.values()]
    unchanged, changed = states.count("ok"), states.count("changed")
    tasks = sum(host.changed for host in outcome.hosts.values())
    would = "would change" if work.session.options.check else "changed"
    outcome.summary = f"{count(len(states), 'server')}: {unchanged} ok, {changed} {would} ({count(tasks, 'task')})"
    if unchanged + changed < len(states):
        outcome.summary += f", {len(states) - unchanged - changed} not done"
    if outcome.exit_code != Exit.OK:
        outcome.next_command = work.session.again()


def _of_hosts(outcome: Outcome) -> list[Problem]:
    return [problem for host in outcome.hosts.values() for problem in host.errors]


def _itemise(outcome: Outcome) -> None:
    """The one message of a failed preflight becomes its findings, a problem each."""
    for name, host in outcome.hosts.items():
        failed = [check for check in outcome.checks or [] if check.host == name and check.verdict == FAIL]
        host.errors = [problem_of_check(check) for check in failed] or host.errors


def add_verify(outcome: Outcome, work: Work, hosts: list[str] | None = None) -> None:
    """Verifies the targets, or some of them, into `outcome`: exit 8 when a check fails, 7 when only the network does."""
    hosts = work.deployment.targets if hosts is None else hosts
    checks = outcome.checks = verify(work, hosts)
    for name, state in states_of_checks(hosts, checks).items():
        host = outcome.hosts.setdefault(name, state)
        if state.state != "ok" and host is not state:
            host.state, host.errors = state.state, [*host.errors, *state.errors]
    outcome.errors += _of_hosts(outcome)
    failed = [check for check in checks if check.verdict == FAIL]
    outcome.exit_code = _verdict(failed, checks)
    passed = _tally(checks)
    outcome.summary = f"{outcome.summary}; {passed}" if outcome.summary else passed
    outcome.next_command = work.session.again("status" if outcome.exit_code == Exit.OK else "verify")


def verify(work: Work, hosts: list[str]) -> list[Check]:
    """Makes every check on these servers."""
    from dgctl import verify as suite

    with work.progress(["Verify"], hosts) as shown:
        shown.phase("Verify")
        checks = suite.run(work.deployment, hosts, shown, work.session.record.path / "verify.log")
    return [*checks, *unproven(work.deployment, hosts, checks)]


def unproven(deployment: Deployment, hosts: list[str], checks: list[Check]) -> list[Check]:
    """A failed check for each server with an API or an Engine through which no test request passed, where no other says why.

    What was not asked is no proof: such a server must not get requests because nothing failed. But an Engine that no API
    asks yet gets none: the API is verified with it when it does.
    """
    found = []
    for name in hosts:
        own = [check for check in checks if check.host == name]
        asked = [check for check in own if check.check.startswith(f"{TRANSCRIPTION}.")]
        known = any(check.verdict == PASS for check in asked) or any(check.verdict == FAIL for check in own)
        parts = deployment.hosts[name].parts
        early = "api" not in parts and any(check.seen.startswith(NO_API_YET) for check in asked)
        if {"api", "engine"} & set(parts) and not known and not early:
            why = "; ".join(dict.fromkeys(check.seen for check in asked)) or "no test request was made"
            expected = "a file or a stream transcribed"
            found.append(Check(name, TRANSCRIPTION, FAIL, why, expected, "name a model in deepgram_verify_model"))
    return found


def _tally(checks: list[Check]) -> str:
    """How many checks hold; what was not asked does not count as holding."""
    verdicts = [check.verdict for check in checks]
    text = f"{verdicts.count(PASS)} of {count(len(checks), 'check')} hold"
    return text + (f", {verdicts.count(SKIP)} not asked" if SKIP in verdicts else "")


def _verdict(failed: list[Check], checks: list[Check]) -> Exit:
    if not checks:
        return Exit.VERIFY  # nothing looked at is nothing proven
    if not failed:
        return Exit.OK
    return Exit.UNREACHABLE if all(check.check == REACHABLE for check in failed) else Exit.VERIFY


def add_status(outcome: Outcome, work: Work) -> None:
    """A server whose status names problems is not ok: its state is failed, and the exit code 8."""
    fix = f"{work.session.again('verify')} says what to do"
    for name, host in outcome.hosts.items():
        found = [Problem(str(text), name, fix=fix) for text in host.status.get("problems") or []]
        host.errors += found
        outcome.errors += found
        host.state = "failed" if found and host.state == "ok" else host.state
    if outcome.exit_code == Exit.OK:
        outcome.exit_code = Exit.VERIFY if outcome.errors else Exit.OK
        outcome.next_command = work.session.again("verify")
    healthy = sum(host.state == "ok" for host in outcome.hosts.values())
    outcome.summary = f"{healthy} of {count(len(outcome.hosts), 'server')} healthy"
