"""Other values written into a deployment's own files, and taken back when anything forbids them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.deployment import deployment as deployments
from dgctl.deployment import inventory_edit
from dgctl.deployment.deployment import RUNNERS, Deployment
from dgctl.rollout import driver_upgrade
from dgctl.run.work import Work
from dgctl.validation import require_valid

RELEASE = "deepgram_release"


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
