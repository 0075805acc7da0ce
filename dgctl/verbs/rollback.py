"""`rollback`: back to the state that was verified before the last change, from what the servers kept."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from dgctl.base.errors import DgctlError, Exit
from dgctl.base.locate import shown
from dgctl.base.words import listed
from dgctl.deployment.deployment import Deployment
from dgctl.output.report import Outcome
from dgctl.plan.plan import HostPlan, Plan, Step
from dgctl.plan.reasons import Kind, Reason
from dgctl.rollout import plan_text, provisioning, rollout
from dgctl.rollout.edited import RELEASE, edited
from dgctl.rollout.rolling import Rolling
from dgctl.rollout.rollout import Policy
from dgctl.run import history, lease, playbook, snapshots
from dgctl.run.confirm import confirm
from dgctl.run.session import Session
from dgctl.run.work import valid


def rollback(session: Session) -> Outcome:
    with valid(session) as work, lease.alone(work):
        work.record()
        started = Begun(history.rollback(session.inventory))
        plan = provisioning.planned(work)
        if plan.problems:
            return provisioning.unreachable(work, plan)
        retained = {name: reported for name, reported in snapshots.ask(work).items() if name not in started.done}
        todo = snapshots.to_go_back(retained)
        release = started.release or snapshots.release(todo)
        with edited(work, {RELEASE: release}) as changed:
            desired = _as_plan(changed.deployment, plan, list(todo))
            order = rollout.make(changed.deployment, desired, plan.members, Policy.of(session.options))
            if order.problems:
                raise DgctlError(order.problems, Exit.HALTED)
            reported = [
                f"{listed(list(todo))}: back to {release}; the NVIDIA driver stays as it is",
                *plan_text.order(order),
            ]
            confirm(session, reported, f"Roll back to {release}?")
        started.write(release)
        policy = Policy.of(session.options)
        outcome = Back(changed, desired, order, plan.members, policy, progress=started).run()
        if outcome.exit_code == Exit.OK:
            started.path.unlink(missing_ok=True)
            outcome.summary += f"; {RELEASE} is {release} in {shown(session.inventory)}"
            outcome.next_command = session.again("plan")
        return outcome


@dataclass
class Begun:
    """A rollback on its way, in a file: a run that was killed goes on from there, and undoes no server twice."""

    path: Path
    release: str = ""
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            reported = json.loads(self.path.read_text())
            self.release, self.done = reported["release"], reported["done"]

    def write(self, release: str) -> None:
        self.release = release
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"release": release, "done": self.done}))
        new.replace(self.path)


def _as_plan(deployment: Deployment, plan: Plan, todo: list[str]) -> Plan:
    """A plan whose every step is the return: what a rollout divides into batches."""
    from dgctl.plan.desired import Desired

    desired = Desired(deployment)
    hosts = {name: HostPlan(verified=True, preflight=False) for name in plan.hosts}
    for name in todo:
        step = Step("deepgram", "", (Reason(Kind.DRIFTED, "rollback", now="to the last verified state"),))
        hosts[name] = HostPlan([step], preflight=False, restarts=["deepgram-api", "deepgram-engine"])
    return Plan(hosts, {name: desired.of(deployment.hosts[name]) for name in hosts}, plan.timings, plan.members)


@dataclass
class Back(Rolling):
    """A rollout whose change is the return to what a server kept."""

    progress: Begun = None  # type: ignore[assignment]

    def _check_ahead(self) -> None:
        """Nothing is fetched: all that is needed is on the servers."""

    def _change(self, hosts: list[str]) -> list[str]:
        if not hosts:
            return []
        self.started |= set(hosts)
        self._playbook("rollback.yml", playbook.Part(hosts, {"Rollback": hosts}))
        return [name for name in hosts if self.outcome.hosts[name].state in ("ok", "changed")]

    def _verified(self, hosts: list[str], early: bool = False) -> list[str]:
        proven = super()._verified(hosts, early)
        self.progress.done += [name for name in proven if name not in self.progress.done and not early]
        self.progress.write(self.progress.release)
        return proven
