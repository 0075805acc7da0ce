"""`doctor`: what is wrong with servers, why, and the command that fixes it; the unhealthy ones first."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from dgctl.base.errors import Exit
from dgctl.base.words import count
from dgctl.output.report import FAIL, PASS, SKIP, Check, HostState, Outcome, problem_of_check
from dgctl.run import options as common
from dgctl.run import outcomes, playbook
from dgctl.run.session import Session
from dgctl.run.work import Work, recorded

PLAYBOOK, PLAY = "doctor.yml", "Doctor"
ASKED = ("ok", "changed")
# Commands of dgctl in a fix, without what a deployment adds: `dgctl provision`, `dgctl doctor --limit gpu2`.
COMMAND = re.compile(r"dgctl (?:(provision|verify|doctor)(?: --limit (\S+?))?|undrain ([\w.-]*\w))(?=[\s,;:.)]|$)")


@dataclass(frozen=True, kw_only=True)
class Options(common.Options):
    deep: bool = False


def doctor(session: Session[Options]) -> Outcome:
    with recorded(session) as work:
        outcome = outcomes.of_playbook(work, PLAYBOOK, part=_deep(work) if session.options.deep else None)
        places = {name: place for place, name in enumerate(outcome.hosts or {})}
        found = sorted(outcome.checks or [], key=lambda check: places[check.host])
        outcome.checks = [_with_commands(work, check) for check in found]
        outcome.lowered = []  # what a server may lack is no fault
        judge(outcome, work)
        return outcome


def _deep(work: Work) -> playbook.Part:
    """The same servers, with DCGM asked too."""
    hosts = work.deployment.targets
    return playbook.Part(hosts, {PLAY: hosts}, variables={"doctor_deep": True})


def judge(outcome: Outcome, work: Work) -> None:
    """A server with a finding that fails is unhealthy: its state is failed, and the exit code 8. The causes are its errors."""
    hosts = outcome.hosts or {}
    for check in outcome.checks or []:
        if check.verdict == FAIL and not check.follows:
            problem = problem_of_check(check)
            hosts[check.host].errors.append(problem)
            outcome.errors.append(problem)
    unhealthy = [name for name, host in hosts.items() if host.state in ASKED and host.errors]
    for name in unhealthy:
        hosts[name].state = "failed"
    healthy = [name for name, host in hosts.items() if host.state in ASKED]
    outcome.summary = f"{count(len(hosts), 'server')}: {len(healthy)} healthy, {len(unhealthy)} unhealthy"
    if unasked := len(hosts) - len(healthy) - len(unhealthy):
        outcome.summary += f", {unasked} not asked"
    if outcome.exit_code in (Exit.OK, Exit.UNREACHABLE):
        outcome.text, outcome.text_only = lines(hosts, outcome.checks or []), True
        outcome.exit_code = Exit.VERIFY if unhealthy else outcome.exit_code
        outcome.next_command = work.session.again("doctor" if unhealthy else "verify")


def lines(hosts: dict[str, HostState], checks: list[Check]) -> list[str]:
    """What people read: a paragraph an unhealthy server, then one line each for those out of reach and the healthy ones."""
    of_host = {name: [check for check in checks if check.host == name] for name in hosts}
    order = {"failed": 0, "unreachable": 1}
    found = []
    for name in sorted(hosts, key=lambda name: order.get(hosts[name].state, 2)):
        state, own = hosts[name].state, of_host[name]
        failed = [check for check in own if check.verdict == FAIL]
        if failed:
            causes = [check for check in failed if not check.follows]
            folded = f", of {count(len(causes), 'cause')}" if len(causes) < len(failed) else ""
            head = f"{name}  unhealthy: {len(failed)} of {count(len(own), 'check')} fail{folded}"
            found += [head, *_findings(causes, failed), ""]
        elif state in ASKED:
            found.append(
                f"{name}  healthy ({count(sum(check.verdict == PASS for check in own), 'check')}){_notes(own)}"
            )
        else:
            problem = hosts[name].errors[0] if hosts[name].errors else None
            why = f": {problem.what}. {problem.fix}" if problem else ""
            found.append(f"{name}  {state}{why}")
    return found


def _findings(causes: list[Check], failed: list[Check]) -> list[str]:
    """A paragraph a cause: what is seen, why, what to type, and which other checks fail because of it."""
    width = max(len(check.check) for check in causes)
    found = []
    for check in causes:
        expected = f" (expected {check.expected})" if check.expected else ""
        found.append(f"  {check.check:<{width}}  {check.seen}{expected}")
        for label, text in (("cause", check.cause), ("fix", check.fix)):
            found += [f"  {'':<{width}}  {label + ':':<6} {text}"] if text else []
        followers = [other.check for other in failed if other.follows == check.check]
        found += [f"  {'':<{width}}  follows from it: {', '.join(followers)}"] if followers else []
    return found


def _notes(checks: list[Check]) -> str:
    """What is no failure, and is worth knowing."""
    reported = [f"{check.check}: {check.seen}" for check in checks if check.verdict == SKIP and check.fix]
    return "; " + "; ".join(reported) if reported else ""


def _with_commands(work: Work, check: Check) -> Check:
    """A fix by dgctl names this deployment and its server."""

    def whole(found: re.Match[str]) -> str:
        verb, limit, server = found.groups()
        return (
            f"{work.session.again('undrain')} {server}"
            if server
            else work.session.again(verb, limit=limit or check.host)
        )

    return replace(check, fix=COMMAND.sub(whole, check.fix))
