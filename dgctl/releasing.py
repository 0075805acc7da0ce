"""`upgrade` and `rollback`: other releases and drivers, a batch at a time."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dgctl import deployment as deployments
from dgctl import driver_upgrade, history, inventory_edit, lock, plan_text, playbook, provisioning, rollout, snapshots
from dgctl.deployment import Deployment
from dgctl.driver_upgrade import BRANCH, VERSION
from dgctl.errors import DgctlError, Exit, Problem
from dgctl.locate import shown
from dgctl.plan import HostPlan, Plan, Step
from dgctl.reasons import Kind, Reason
from dgctl.report import Outcome
from dgctl.rolling import Rolling
from dgctl.rollout import Policy
from dgctl.session import Session
from dgctl.validation import require_valid
from dgctl.words import count, listed
from dgctl.work import Work, valid

RELEASE = "deepgram_release"
RUNNERS = ("node", "api", "engine", "license_proxy")


def upgrade(session: Session) -> Outcome:
    asked = Asked.of(session)
    if session.green:
        from dgctl import blue_green

        return blue_green.upgrade(session, asked)
    with valid(session) as work, lock.held(history.folder(session.inventory), lock.this_command()):
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
    def of(session: Session) -> Asked:
        """From the options; raises DgctlError (exit 2) for none, or for what is no driver."""
        if not session.release and not session.driver:
            fix = "add --release R, --driver BRANCH, or both"
            raise DgctlError(Problem("an upgrade to what?", "dgctl upgrade", fix=fix), Exit.USAGE)
        return Asked(session.release, *(driver_upgrade.parse(session.driver) if session.driver else ()))

    def __str__(self) -> str:
        driver = f"driver {self.version or self.branch}" if self.branch else ""
        return " and ".join(part for part in (self.release, driver) if part)

    def settings(self) -> dict[str, str]:
        """Variable -> its value."""
        driver = {BRANCH: self.branch, VERSION: self.version} if self.branch else {}
        return {**({RELEASE: self.release} if self.release else {}), **driver}

    def way_back(self, session: Session) -> list[str]:
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


@contextlib.contextmanager
def edited(work: Work, settings: dict[str, str], only: list[str] | None = None) -> Iterator[Work]:
    """The deployment with other values written into its files; as it was when anything forbids it.

    `only`: the servers whose variables they are to be, and nobody else's.
    """
    before = {path: inventory_edit.read(path) for path in work.deployment.files()}
    try:
        edits = [(name, place) for name in settings for place in _places(work.deployment, name, settings[name], only)]
        # What stands first, then from below: a line that is added moves those after it.
        for name, (path, line, stands) in sorted(edits, key=lambda edit: (not edit[1][2], -edit[1][1])):
            if stands:
                inventory_edit.set_variable(path, name, settings[name], line)
            else:
                inventory_edit.add_variable(path, name, settings[name], RELEASE, line)
        deployment = deployments.load(work.deployment.inventory, work.vault, work.session.limit)
        require_valid(deployment)
        yield Work(work.session, deployment, work.vault)
    except BaseException:
        for path, text in before.items():
            if inventory_edit.read(path) != text:
                inventory_edit.write(path, text)
        raise


def _places(
    deployment: Deployment, name: str, value: str = "x", only: list[str] | None = None
) -> list[tuple[Path, int, bool]]:
    """(file, line, whether it stands there) where a variable of the targets stands, or is to be written beside the release.

    An empty value needs no place. Raises DgctlError (exit 3) where nothing sets the release, or a line is others' too.
    """
    found: dict[tuple[Path, int, bool], None] = {}
    owners = runners(deployment) if name == RELEASE else driver_upgrade.servers(deployment)
    for host in owners if only is None else [host for host in only if host in owners]:
        place = _place(deployment, host, name)
        if place or value:
            found[(*(place or _release_of(deployment, host)), bool(place))] = None
    lines = {(path, line) for path, line, _ in found}
    for host in [host for host in deployment.members(*RUNNERS) if only and host not in only]:
        for place in (_place(deployment, host, name), _place(deployment, host, RELEASE)):
            if place in lines:
                fix = f"set {RELEASE} for the group alone: [GROUP:vars] in the inventory, or group_vars/GROUP/"
                what = f"this line sets the {'release' if name == RELEASE else 'driver'} of {host} too"
                raise DgctlError(Problem(what, "{}:{}".format(*place), fix=fix), Exit.INVALID)
    return list(found)


def _place(deployment: Deployment, host: str, name: str) -> tuple[Path, int] | None:
    """The file and line that set a variable of a server."""
    path, _, line = deployment.where(deployment.hosts[host], name).rpartition(":")
    return (Path(path), int(line)) if path and line.isdigit() else None


def _release_of(deployment: Deployment, host: str) -> tuple[Path, int]:
    place = _place(deployment, host, RELEASE)
    if place is None:
        fix = f"set {RELEASE} in the inventory or in group_vars, then run again"
        where = deployment.where(deployment.hosts[host], RELEASE)
        raise DgctlError(Problem(f"no line sets {RELEASE}", host, where, fix), Exit.INVALID)
    return place


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
        with edited(work, {RELEASE: release}) as changed:
            wanted = _as_plan(changed.deployment, plan, list(todo))
            order = rollout.make(changed.deployment, wanted, plan.members, Policy(session.batch, session.max_fail))
            if order.problems:
                raise DgctlError(order.problems, Exit.HALTED)
            said = [
                f"{listed(list(todo))}: back to {release}; the NVIDIA driver stays as it is",
                *plan_text.order(order),
            ]
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
