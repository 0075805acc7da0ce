"""`upgrade`: another release, another driver, or both, a batch at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.words import count
from dgctl.output.report import Outcome
from dgctl.rollout import driver_upgrade, plan_text, provisioning
from dgctl.rollout.driver_upgrade import BRANCH, VERSION
from dgctl.rollout.edited import RELEASE, edited
from dgctl.run import lease
from dgctl.run import options as common
from dgctl.run.confirm import confirm
from dgctl.run.session import Session
from dgctl.run.work import Work, valid


@dataclass(frozen=True, kw_only=True)
class Options(common.Options):
    release: str = ""
    driver: str = ""
    green: str = ""  # the group that is built


def upgrade(session: Session[Options]) -> Outcome:
    asked = Asked.of(session)
    if session.options.green:
        from dgctl.verbs import blue_green

        return blue_green.upgrade(session, asked)
    with valid(session) as work, lease.alone(work):
        work.record()
        with written(work, asked) as changed:
            plan = provisioning.planned(changed)
            if plan.problems:
                raise DgctlError(plan.problems, Exit.UNREACHABLE)
            order = provisioning.divided(changed, plan)
            confirm(
                session,
                [*plan_text.lines(plan), *plan_text.order(order)],
                f"Upgrade {count(len(plan.changing), 'server')} to {asked}{plan_text.reboots(plan)}?",
            )
        outcome = provisioning.done(changed, plan, order)
        outcome.text += asked.way_back(session)
        return outcome


@dataclass
class Asked:
    """What an upgrade is to change: the release, and the driver by its branch and (once settled) its version; "" for not."""

    release: str = ""
    branch: str = ""
    version: str = ""
    before: str = ""

    @staticmethod
    def of(session: Session[Options]) -> Asked:
        """From the options; raises DgctlError (exit 2) for none, or for what is no driver."""
        if not session.options.release and not session.options.driver:
            fix = "add --release R, --driver BRANCH, or both"
            raise DgctlError(Problem("an upgrade to what?", "dgctl upgrade", fix=fix), Exit.USAGE)
        return Asked(
            session.options.release, *(driver_upgrade.parse(session.options.driver) if session.options.driver else ())
        )

    def __str__(self) -> str:
        driver = f"driver {self.version or self.branch}" if self.branch else ""
        return " and ".join(part for part in (self.release, driver) if part)

    def settings(self) -> dict[str, str]:
        """Variable -> its value."""
        driver = {BRANCH: self.branch, VERSION: self.version} if self.branch else {}
        return {**({RELEASE: self.release} if self.release else {}), **driver}

    def way_back(self, session: Session[Options]) -> list[str]:
        """What `rollback` does not do."""
        if not self.branch or not self.before or self.before == self.version:
            return []
        back = f"dgctl upgrade {session.inventory} --driver {self.before.split(', ')[-1]}"
        return [f"the servers had driver {self.before}; `rollback` leaves the driver alone, the way back is: {back}"]


@contextlib.contextmanager
def written(work: Work, asked: Asked, only: list[str] | None = None) -> Iterator[Work]:
    """The deployment with what is asked for written into its files; a driver's version is one that all servers can have."""
    with edited(work, asked.settings(), only) as changed:
        hosts = [name for name in driver_upgrade.servers(changed.deployment) if only is None or name in only]
        if not asked.branch or not hosts:
            yield changed
            return
        offers = driver_upgrade.ask(changed, hosts)
        asked.version, asked.before = (
            driver_upgrade.settled(offers, asked.branch, asked.version),
            driver_upgrade.before(offers),
        )
        with edited(changed, {VERSION: asked.version}, only) as settled:
            yield settled
