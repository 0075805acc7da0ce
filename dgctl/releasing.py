"""`upgrade` and `rollback`: other releases, a batch at a time."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dgctl import deployment as deployments
from dgctl import history, inventory_edit, lock, plan_text, playbook, provisioning, rollout, snapshots
from dgctl.deployment import Deployment
from dgctl.errors import DgctlError, Exit, Problem
from dgctl.locate import shown
from dgctl.plan import HostPlan, Plan, Step
from dgctl.reasons import Kind, Reason
from dgctl.report import Outcome
from dgctl.rolling import Rolling
from dgctl.rollout import Policy
from dgctl.session import Session
from dgctl.validation import require_valid
from dgctl.words import listed
from dgctl.work import Work, valid

RELEASE = "deepgram_release"
RUNNERS = ("node", "api", "engine", "license_proxy")


def upgrade(session: Session) -> Outcome:
    if session.green:
        from dgctl import blue_green

        return blue_green.upgrade(session)
    with valid(session) as work, lock.held(history.folder(session.inventory), lock.this_command()):
        work.record()
        with edited(work, session.release) as changed:
            plan = provisioning.planned(changed)
            if plan.problems:
                raise DgctlError(plan.problems, Exit.UNREACHABLE)
            order = provisioning.divided(changed, plan)
            confirm(session, [*plan_text.lines(plan), *plan_text.order(order)], f"Upgrade to {session.release}?")
        return provisioning.done(changed, plan, order)


@contextlib.contextmanager
def edited(work: Work, release: str, only: list[str] | None = None) -> Iterator[Work]:
    """The deployment with another release written into its files; as it was when anything forbids it.

    `only`: the servers whose release it is to be, and nobody else's.
    """
    before = {path: inventory_edit.read(path) for path in work.deployment.files()}
    try:
        for path, line in _places(work.deployment, only):
            inventory_edit.set_variable(path, RELEASE, release, line)
        deployment = deployments.load(work.deployment.inventory, work.vault, work.session.limit)
        require_valid(deployment)
        yield Work(work.session, deployment, work.vault)
    except BaseException:
        for path, text in before.items():
            if inventory_edit.read(path) != text:
                inventory_edit.write(path, text)
        raise


def _places(deployment: Deployment, only: list[str] | None) -> list[tuple[Path, int]]:
    """Where the release of the targets stands; raises DgctlError (exit 3) where nothing sets it, or it is others' too."""
    found: dict[tuple[Path, int], None] = {}
    for name in runners(deployment) if only is None else only:
        place = deployment.where(deployment.hosts[name], RELEASE)
        path, _, line = place.rpartition(":")
        if not path or not line.isdigit():
            fix = f"set {RELEASE} in the inventory or in group_vars, then run again"
            raise DgctlError(Problem(f"no line sets {RELEASE}", name, place, fix), Exit.INVALID)
        found[(Path(path), int(line))] = None
    shared = [name for name in deployment.members(*RUNNERS) if only and name not in only]
    for name in shared:
        path, _, line = deployment.where(deployment.hosts[name], RELEASE).rpartition(":")
        if line.isdigit() and (Path(path), int(line)) in found:
            fix = f"set {RELEASE} for the group alone: [GROUP:vars] in the inventory, or group_vars/GROUP/"
            raise DgctlError(
                Problem(f"this line sets the release of {name} too", f"{path}:{line}", fix=fix), Exit.INVALID
            )
    return list(found)


def runners(deployment: Deployment) -> list[str]:
    """The targets that run something of a release."""
    return [name for name in deployment.members(*RUNNERS) if name in deployment.targets]


def confirm(session: Session, lines: list[str], question: str) -> None:
    import click

    if session.yes:
        return
    if not sys.stdin.isatty():
        raise DgctlError(Problem("nobody is here to confirm", "stdin is not a terminal", fix="add --yes"), Exit.USAGE)
    for line in lines:
        click.echo(line, err=True)
    if not click.confirm(question, err=True):
        raise DgctlError(Problem("not confirmed: nothing was touched", fix="answer y, or add --yes"), Exit.INTERRUPTED)


def rollback(session: Session) -> Outcome:
    with valid(session) as work, lock.held(history.folder(session.inventory), lock.this_command()):
        work.record()
        begun = Begun(history.rollback(session.inventory))
        plan = provisioning.planned(work)
        if plan.problems:
            return provisioning.unreachable(work, plan)
        kept = {name: said for name, said in snapshots.ask(work).items() if name not in begun.done}
        todo = snapshots.to_go_back(kept)
        release = begun.release or snapshots.release(todo)
        with edited(work, release) as changed:
            wanted = _as_plan(changed.deployment, plan, list(todo))
            order = rollout.make(changed.deployment, wanted, plan.members, Policy(session.batch, session.max_fail))
            if order.problems:
                raise DgctlError(order.problems, Exit.HALTED)
            said = [f"{listed(list(todo))}: back to {release}", *plan_text.order(order)]
            confirm(session, said, f"Roll back to {release}?")
        begun.write(release)
        policy = Policy(session.batch, session.max_fail)
        outcome = Back(changed, wanted, order, plan.members, policy, progress=begun).run()
        if outcome.exit_code == Exit.OK:
            begun.path.unlink(missing_ok=True)
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
            said = json.loads(self.path.read_text())
            self.release, self.done = said["release"], said["done"]

    def write(self, release: str) -> None:
        self.release = release
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"release": release, "done": self.done}))
        new.replace(self.path)


def _as_plan(deployment: Deployment, plan: Plan, todo: list[str]) -> Plan:
    """A plan whose every step is the return: what a rollout divides into batches."""
    from dgctl.desired import Desired

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
        self.begun |= set(hosts)
        self._playbook("rollback.yml", playbook.Part(hosts, {"Rollback": hosts}))
        return [name for name in hosts if self.outcome.hosts[name].state in ("ok", "changed")]

    def _verified(self, hosts: list[str]) -> list[str]:
        proven = super()._verified(hosts)
        self.progress.done += [name for name in proven if name not in self.progress.done]
        self.progress.write(self.progress.release)
        return proven
