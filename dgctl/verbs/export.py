"""`export`: what watches a deployment, as files for a Prometheus and a Grafana that dgctl does not run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.base.words import count
from dgctl.deployment.deployment import Deployment
from dgctl.export import files
from dgctl.output.report import Outcome
from dgctl.run import options as common
from dgctl.run.session import Session
from dgctl.run.work import valid


@dataclass(frozen=True, kw_only=True)
class Options(common.Options):
    kind: str = ""
    folder: str = ""


def export(session: Session[Options]) -> Outcome:
    """Writes into the session's folder; raises DgctlError (exit 2) rather than write among other files."""
    folder = Path(session.options.folder)
    if not files.is_ours(folder):
        fix = "name a new folder, or one that an earlier export wrote"
        raise DgctlError(Problem("other files are there already", shown(folder), fix=fix), Exit.USAGE)
    with valid(session) as work:
        made = files.made(work.deployment)
        changed = files.written(folder, made)
        told = f"{count(len(made), 'file')} in {shown(folder)}, {len(changed)} of them written now"
        return Outcome(text=[told, f"How they are used: {shown(folder)}/README.md"], hints=readers(work.deployment))


def readers(deployment: Deployment) -> list[Problem]:
    """What is missing for somebody to read the figures: no server tells them to anyone."""
    allowed = any(host.vars.get("host_metrics_allow") for host in deployment.hosts.values())
    if allowed or deployment.groups.get("monitoring"):
        return []
    inventory = shlex.quote(shown(deployment.inventory))
    fix = f"set host_metrics_allow: [ADDRESS] in group_vars/all/main.yml, then: dgctl provision {inventory}"
    what = "no server runs an exporter yet: it is not known which address may read it"
    return [Problem(what, inventory, fix=fix)]
