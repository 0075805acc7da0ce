"""`export`: what watches a deployment, or stands before it, as files for programs that dgctl does not run."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dgctl.base import given
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.base.names import suggestion
from dgctl.base.words import count, listed
from dgctl.deployment import topology
from dgctl.deployment.deployment import SERVING, Deployment
from dgctl.export import files, proxy, unimrcp
from dgctl.output.report import Outcome
from dgctl.run import options as common
from dgctl.run.session import Session
from dgctl.run.work import valid

LOOPBACK = "127.0.0.1"
UNWRITTEN, ELSEWHERE = "the files cannot be written there", "name a folder that you may write to, with room for them"
Files = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Options(common.Options):
    kind: str = ""
    folder: str = ""
    program: str | None = None
    proxies: int = 1
    region: str = ""


def export(session: Session[Options]) -> Outcome:
    """Writes into the session's folder; raises DgctlError (exit 2) rather than write among other files."""
    folder = Path(session.options.folder)
    with given.refused(UNWRITTEN, folder, ELSEWHERE):
        ours = files.is_ours(folder, *marks(session))
    if not ours:
        fix = "name a new folder, or one that an earlier export wrote"
        raise DgctlError(Problem("other files are there already", shown(folder), fix=fix), Exit.USAGE)
    with valid(session) as work:
        made, hints = KINDS[session.options.kind](work.deployment, session)
        with given.refused(UNWRITTEN, folder, ELSEWHERE):
            changed = files.written(folder, made)
        reported = f"{count(len(made), 'file')} in {shown(folder)}, {len(changed)} of them written now"
        return Outcome(text=[reported, f"How they are used: {shown(folder)}/README.md"], hints=hints)


def marks(session: Session[Options]) -> tuple[str, str]:
    """The file by which an older export of this kind is known, and how it begins."""
    if session.options.kind == "proxy":
        return next(iter(proxy.PROGRAMS[str(session.options.program)])), proxy.HEAD
    return (unimrcp.MARK, unimrcp.HEAD) if session.options.kind == "unimrcp" else (files.MARK, files.HEAD)


def for_monitoring(deployment: Deployment, session: Session[Options]) -> tuple[Files, list[Problem]]:
    return files.made(deployment), readers(deployment)


def for_unimrcp(deployment: Deployment, session: Session[Options]) -> tuple[Files, list[Problem]]:
    """The files; raises DgctlError (exit 3) where no server listens for the plugin."""
    uris = unimrcp.endpoints(deployment)
    if not uris:
        fix = f"set {unimrcp.PORT} and {unimrcp.ALLOW} where {unimrcp.PROFILE} is served, then provision"
        problem = Problem("no server listens for UniMRCP's plugin", shown(deployment.inventory), fix=fix)
        raise DgctlError(problem, Exit.INVALID)
    return unimrcp.made(uris), []


def for_proxy(deployment: Deployment, session: Session[Options]) -> tuple[Files, list[Problem]]:
    """The files; raises DgctlError where there is nothing to stand before (exit 3), or no such region (exit 2)."""
    place = shown(deployment.inventory)
    serving = deployment.members(*SERVING)
    if not serving:
        fix = "add a server to [node] or [api]"
        raise DgctlError(Problem("no server of this inventory answers callers", place, fix=fix), Exit.INVALID)
    if secured := [name for name in serving if topology.api_tls(deployment.hosts[name].vars, deployment.folder)]:
        what = f"the APIs of {listed(secured)} answer over TLS, and these files ask them without"
        fix = "set deepgram_api_tls: false for them and provision, or use a [proxy] of this inventory"
        raise DgctlError(Problem(what, place, fix=fix), Exit.INVALID)
    regions = {str(deployment.hosts[name].vars.get("deepgram_region") or "") for name in serving} - {""}
    options = session.options
    if options.region and options.region not in regions:
        fix = suggestion(options.region, sorted(regions)) if regions else "leave --region out, or set deepgram_region"
        raise DgctlError(Problem("no server is in this region", place, options.region, fix), Exit.USAGE)
    return proxy.made(deployment, str(options.program), options.proxies, options.region), closed(deployment)


def closed(deployment: Deployment) -> list[Problem]:
    """What keeps a proxy outside of the inventory from the APIs, and what of the inventory's own rules it does not have."""
    inventory = shown(deployment.inventory)
    again = f"then: dgctl provision {shlex.quote(inventory)}"
    hosts = [deployment.hosts[name] for name in deployment.members(*SERVING)]
    found = []
    if any(str(host.vars.get("deepgram_api_bind_address")).strip() in (LOOPBACK, "::1") for host in hosts):
        what = "the proxy does not reach every API yet: they listen on loopback alone"
        fix = f"set deepgram_foreign_proxies: [ADDRESS] in group_vars/all/main.yml, {again}"
        found.append(Problem(what, inventory, fix=fix))
    if any(host.vars.get("nginx_proxy_callers") not in (None, "open") for host in hosts):
        what = "the keys of nginx_proxy_keys are not asked for in these files"
        found.append(
            Problem(what, inventory, fix="have your proxy ask for its own, or use a [proxy] of this inventory")
        )
    return found


def readers(deployment: Deployment) -> list[Problem]:
    """What is missing for somebody to read the figures: no server tells them to anyone."""
    allowed = any(host.vars.get("host_metrics_allow") for host in deployment.hosts.values())
    if allowed or deployment.groups.get("monitoring"):
        return []
    inventory = shlex.quote(shown(deployment.inventory))
    fix = f"set host_metrics_allow: [ADDRESS] in group_vars/all/main.yml, then: dgctl provision {inventory}"
    what = "no server runs an exporter yet: it is not known which address may read it"
    return [Problem(what, inventory, fix=fix)]


KINDS: dict[str, Callable[[Deployment, Session], tuple[Files, list[Problem]]]] = {
    "monitoring": for_monitoring,
    "proxy": for_proxy,
    "unimrcp": for_unimrcp,
}
