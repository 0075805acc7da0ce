"""`status`: what runs on every server, and which of them the proxies send requests to; once, or again and again."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass

from dgctl import validation
from dgctl.base.display import printable_json
from dgctl.base.errors import Exit
from dgctl.bench import retained
from dgctl.bench.job import STREAMS
from dgctl.deployment import fleet
from dgctl.output.report import HostState, Outcome, print_outcome
from dgctl.rollout import provisioning
from dgctl.run import history, outcomes
from dgctl.run import options as common
from dgctl.run.session import Session, stdout
from dgctl.run.work import Work, recorded

PLAYBOOK = "status.yml"


@dataclass(frozen=True, kw_only=True)
class Options(common.Options):
    watch: float = 0.0  # s between two; 0: once


def status(session: Session[Options]) -> Outcome:
    with recorded(session) as work:
        return watched(work) if session.options.watch else once(work)


def once(work: Work) -> Outcome:
    """Asks every target, and the proxies how they see them."""
    outcome = outcomes.of_playbook(work, PLAYBOOK)
    _add_members(work, outcome.hosts or {})
    _add_benches(work, outcome.hosts or {})
    outcomes.add_status(outcome, work)
    outcome.hints = validation.exposed(work.deployment)
    return outcome


def _add_members(work: Work, hosts: dict[str, HostState]) -> None:
    """What the proxies do with each server; one that they send nothing is drained, not ok."""
    if not fleet.behind_proxies(work.deployment):
        return
    for name, member in provisioning.seen_by_proxies(work).items():
        if name in hosts:
            reported = {"proxies": member.states, "reason": member.reason, "note": member.note}
            hosts[name].status["traffic"] = {key: value for key, value in reported.items() if value}
            if member.drained and hosts[name].state == "ok":
                hosts[name].state = fleet.DRAINED


def _add_benches(work: Work, hosts: dict[str, HostState]) -> None:
    """What the last bench of a server found that it holds."""
    results, _bad = retained.read(history.folder(work.session.inventory) / "bench")
    for name, host in hosts.items():
        found = retained.newest(results, name, STREAMS)
        if found and host.status:
            host.status["holds"] = {STREAMS: found.holds, "moment": found.moment}


def watched(work: Work) -> Outcome:
    """Shows the status again and again until Ctrl-C; the last one is the outcome."""
    session, last = work.session, Outcome()
    try:
        while True:
            started, seen = time.monotonic(), once(work)
            if seen.exit_code == Exit.INTERRUPTED:
                return last
            last = seen
            _show(session, last)
            last.reported = True
            time.sleep(max(0.0, float(session.options.watch) - (time.monotonic() - started)))
    except KeyboardInterrupt:
        return last


def _show(session: Session[Options], outcome: Outcome) -> None:
    if session.as_json:  # a document a line
        print(
            printable_json(
                json.dumps(outcome.document(session.command, session.seconds), ensure_ascii=False, default=str)
            ),
            flush=True,
        )
        return
    console = stdout()
    if sys.stdout.isatty():
        console.clear()
    print_outcome(outcome, session.seconds, console)
