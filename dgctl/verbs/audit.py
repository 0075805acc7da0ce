"""`audit`: for a reviewer: what listens where and for whom, who may read which secret, how old keys are, what is unpinned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dgctl import validation
from dgctl.base.words import count, listed
from dgctl.deployment.deployment import Host
from dgctl.output import audit_text
from dgctl.output.report import Outcome
from dgctl.plan import audit as asked
from dgctl.run import outcomes
from dgctl.run.session import Session
from dgctl.run.work import Work, recorded
from dgctl.validation.context import Context
from dgctl.verify.certificates import TLS_DAYS

PLAYBOOK = "audit.yml"


def audit(session: Session) -> Outcome:
    with recorded(session) as work:
        outcome = outcomes.of_playbook(work, PLAYBOOK)
        found = {name: host.status for name, host in (outcome.hosts or {}).items() if host.status}
        context = Context(work.deployment, {})
        for name, status in found.items():
            add(work.deployment.hosts[name], context, status, session.inventory)
        outcome.audit = of_deployment(work, context, found)
        outcome.text, outcome.text_only = audit_text.lines(outcome.audit, found), not outcome.errors
        outcome.lowered = []
        total = len(outcome.hosts or {})
        outcome.summary = (
            f"{count(len(found), 'server')} of {total} seen, {count(len(outcome.audit['concerns']), 'concern')}"
        )
        return outcome


def add(host: Host, context: Context, status: dict[str, Any], inventory: Path) -> None:
    """What the inventory knows, beside what was found on the server."""
    parts = context.parts(host)
    for row in [*status.get("listens", []), *status.get("published", [])]:
        row["for"] = asked.audience(host, parts, row, status.get("firewall"))
    status["unpinned"] = asked.unpinned(host, inventory)


def of_deployment(work: Work, context: Context, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    deployment = work.deployment
    proxies = [host for host in context.served if "proxy" in context.parts(host)]
    controller = asked.of_controller(deployment)
    concerns: dict[str, list[str]] = {}
    for what, host in [*of_files(controller), *of_servers(found), *differing(found)]:
        concerns.setdefault(what, []).append(host)
    for hint in validation.exposed(deployment):
        concerns.setdefault(hint.what, []).append(hint.where)
    return {
        "callers": {host.name: asked.callers(host) for host in proxies},
        "keys": asked.keys(deployment),
        "controller": controller,
        "concerns": [{"what": what, "hosts": list(filter(None, hosts))} for what, hosts in concerns.items()],
    }


def of_files(files: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for file in files:
        if file["others"] and not file["encrypted"]:
            yield f"others may read {file['path']} on this machine (mode {file['mode']})", ""


def of_servers(found: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """(what is a concern, host)."""
    for name, status in found.items():
        for row in status.get("secrets", []):
            if row["others"] or row["owner"] != "root":
                yield (
                    f"others than root may read {row['path']} (mode {row['mode']} {row['owner']}:{row['group']})",
                    name,
                )
        for row in status.get("certificates", []):
            if row["days_left"] is not None and row["days_left"] < TLS_DAYS:
                yield f"{row['path']} has {count(max(0, row['days_left']), 'day')} left", name
        for row in status.get("published", []):
            if row.get("for", "").startswith(asked.EVERYBODY):
                yield f"{row['container']} answers whoever reaches port {row['port']}, and asks nobody who he is", name
        if status.get("firewall") is False:
            yield "the firewall is not in force: systemctl reload deepgram-firewall", name
        for problem in status.get("problems", []):
            yield f"not seen: {problem}", name


def differing(found: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Servers of which the same container runs from other images, or a model file has other bytes: what a name led to has moved.

    By digest: the same image came to one from the registry, to another from an archive, under another name.
    """
    for kind, what in (("images", "runs from different images"), ("models", "has different checksums")):
        used: dict[str, dict[str, list[str]]] = {}
        for host, status in found.items():
            for name, reference in (status.get(kind) or {}).items():
                used.setdefault(name, {}).setdefault(reference.rpartition("@")[2], []).append(host)
        for name, digests in used.items():
            if len(digests) > 1:
                reported = "; ".join(f"{listed(hosts)} {digest[:19]}" for digest, hosts in digests.items())
                yield f"{name} {what}: {reported}", ""
