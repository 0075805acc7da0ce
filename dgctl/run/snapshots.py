"""What servers kept of their verified states, and which of them a rollback takes back."""

from __future__ import annotations

from typing import Any

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.words import listed
from dgctl.run import playbook
from dgctl.run.work import Work

PLAYBOOK = "snapshots.yml"


def ask(work: Work) -> dict[str, dict[str, Any]]:
    """Server -> what its module deepgram_snapshot reports. Raises DgctlError (exit 7) when one could not be asked."""
    found: dict[str, dict[str, Any]] = {}

    def hear(event: dict[str, Any]) -> None:
        result = (event.get("event_data") or {}).get("res") or {}
        if event["event"] == "runner_on_ok" and "would_restore" in result:
            found[event["event_data"]["host"]] = result

    with work.progress(playbook.phases(PLAYBOOK)) as shown:
        job = playbook.Run(PLAYBOOK, work.deployment, work.vault, work.session.record, shown)
        job.alone, job.on_event = True, hear
        ended = playbook.run(job)
    problems = [problem for host in ended.hosts.values() for problem in host.errors]
    if problems:
        raise DgctlError(problems, Exit.UNREACHABLE)
    return found


def to_go_back(retained: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those that would change their release or are in the middle of something; where none would, all that kept a state."""
    able = {name: reported for name, reported in retained.items() if reported.get("would_restore")}
    moved = {
        name: reported
        for name, reported in able.items()
        if reported.get("restoring") or not _at(reported, _target(reported))
    }
    return moved or able


def _target(reported: dict[str, Any]) -> str:
    return str((reported.get(reported["would_restore"]) or {}).get("release") or "")


def _at(reported: dict[str, Any], release: str) -> bool:
    """Whether the server runs this release, as far as its roles were done."""
    real = reported.get("real") or {}
    return bool(real.get("finished")) and real.get("release") == release


def release(retained: dict[str, dict[str, Any]]) -> str:
    """The one release that the snapshots are of; raises DgctlError (exit 6) for none, or several."""
    if not retained:
        fix = "a snapshot is taken when a verified server is changed for the first time; set the variables back by hand"
        raise DgctlError(Problem("no server has a snapshot of a verified state to go back to", fix=fix), Exit.HALTED)
    targets = {name: _target(reported) for name, reported in retained.items()}
    if len(set(targets.values())) > 1:
        value = listed([f"{name}: {target}" for name, target in targets.items()])
        fix = "take those of one release back at a time: --limit"
        raise DgctlError(Problem("the servers have snapshots of different releases", value=value, fix=fix), Exit.HALTED)
    return next(iter(targets.values()))
