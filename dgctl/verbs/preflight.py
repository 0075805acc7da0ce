"""`preflight`: can every server become what the inventory says?"""

from __future__ import annotations

from dgctl.base.errors import Exit
from dgctl.output.report import Outcome
from dgctl.run import outcomes, playbook
from dgctl.run.session import Session
from dgctl.run.work import recorded


def preflight(session: Session) -> Outcome:
    with recorded(session) as work:
        part = playbook.Part(work.deployment.targets, {})  # with what is pinned
        outcome = outcomes.of_playbook(work, "preflight.yml", part=part)
        outcome.checks = outcome.checks or []
        if outcome.exit_code == Exit.OK:
            outcome.next_command = session.again("provision")
        return outcome
