"""`provision`: makes the servers match the inventory, then verifies them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from dgctl import validation
from dgctl.base.words import count
from dgctl.output.report import Outcome
from dgctl.plan import plan_file
from dgctl.rollout import plan_text, provisioning
from dgctl.run import confirm, lease
from dgctl.run import options as common
from dgctl.run.session import Session
from dgctl.run.work import valid


@dataclass(frozen=True, kw_only=True)
class Options(common.Options):
    plan: Path | None = None


def provision(session: Session[Options]) -> Outcome:
    if not session.options.check:
        confirm.require_person(session, "add --yes, or look with `dgctl plan`")
    planned = plan_file.read(session.options.plan) if session.options.plan else None
    with valid(session) as work, lease.locked(work):
        work.record()
        found = provisioning.planned(work)
        if found.problems:
            return provisioning.unreachable(work, found)
        rollout = provisioning.divided(work, found)
        if planned is not None:
            plan_file.require_within(planned, found)
        changes = not session.options.check and (found.changing or not rollout.simple)
        if changes:
            lease.require_free(work, found.leases)
        if found.changing and not session.options.check:
            question = f"Provision {count(len(found.changing), 'server')}{plan_text.reboots(found)}?"
            confirm.confirm(session, [*plan_text.lines(found), *plan_text.order(rollout)], question)
        with lease.held(work, found.leases) if changes else contextlib.nullcontext():
            outcome = provisioning.done(work, found, rollout)
        outcome.hints += validation.hints(work.deployment)
        return outcome
