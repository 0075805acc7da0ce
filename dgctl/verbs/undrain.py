"""`undrain`: the proxies send requests to drained servers again."""

from __future__ import annotations

from dgctl.base.errors import Exit
from dgctl.base.words import count, listed
from dgctl.output.report import Outcome
from dgctl.rollout.rolling import in_reach, undrain_part
from dgctl.run import lease, outcomes
from dgctl.run.options import OnHosts as Options
from dgctl.run.session import Session
from dgctl.run.work import recorded
from dgctl.verbs.drain import require_members


def undrain(session: Session[Options]) -> Outcome:
    with recorded(session) as work:
        hosts = require_members(work.deployment, session.options.hosts)
        with lease.alone(work):
            outcome = outcomes.of_playbook(work, "undrain.yml", alone=True, part=undrain_part(in_reach(work), hosts))
        if outcome.exit_code == Exit.OK:
            outcome.summary = f"{count(len(hosts), 'server')} undrained: {listed(hosts)}"
            outcome.next_command = session.again("status")
        return outcome
