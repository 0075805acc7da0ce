"""`plan`: what would `provision` do, and why? Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dgctl.output.report import Outcome
from dgctl.plan import plan_file
from dgctl.rollout import plan_text, provisioning
from dgctl.run import options as common
from dgctl.run.session import Session
from dgctl.run.work import recorded


@dataclass(frozen=True, kw_only=True)
class Options(common.Options):
    out: Path | None = None


def plan(session: Session[Options]) -> Outcome:
    if session.options.out:
        plan_file.require_free(session.options.out)
    with recorded(session) as work:
        found = provisioning.planned(work)
        outcome = provisioning.outcome_of(work, found)
        if found.changing and not found.problems:
            outcome.text += plan_text.order(provisioning.divided(work, found))
        if session.options.out:
            plan_file.write(found, session.options.out)
        if session.verbosity and found.changing:
            outcome.diffs = provisioning.diffs(work, found)
            outcome.text += plan_text.diffs(outcome.diffs)
        if found.changing:
            outcome.next_command = session.again("provision", plan=session.options.out)
        return outcome
