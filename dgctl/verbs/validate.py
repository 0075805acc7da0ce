"""`validate`: is the deployment one that dgctl can build? Imports nothing that runs Ansible: it has to answer at once."""

from __future__ import annotations

from dgctl import validation
from dgctl.base.words import count
from dgctl.output.report import HostState, Outcome
from dgctl.run.session import Session
from dgctl.run.work import valid


def validate(session: Session) -> Outcome:
    with valid(session) as work:
        hosts = {name: HostState() for name in work.deployment.targets}
        summary = f"valid: {count(len(hosts), 'server')}"
        next_command = session.again("preflight")
        hints = [*validation.hints(work.deployment), *validation.notes(work.deployment)]
        return Outcome(hosts=hosts, lowered=work.lowered(), hints=hints, summary=summary, next_command=next_command)
