"""`drain`: servers that the proxies send no new requests to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.base.names import suggestion
from dgctl.base.words import listed
from dgctl.deployment import fleet
from dgctl.deployment.deployment import PROXIES, Deployment
from dgctl.deployment.fleet import OPERATOR, Member
from dgctl.output.report import Outcome
from dgctl.rollout import floor, provisioning
from dgctl.rollout.rolling import drain_part, in_reach
from dgctl.run import lease, outcomes
from dgctl.run import options as common
from dgctl.run.session import Session
from dgctl.run.work import Work, recorded


@dataclass(frozen=True, kw_only=True)
class Options(common.OnHosts):
    note: str = ""
    wait: bool = True
    force: bool = False


def drain(session: Session[Options]) -> Outcome:
    with recorded(session) as work:
        hosts = require_members(work.deployment, session.options.hosts)
        with lease.alone(work):
            return _drained(work, hosts)


def _drained(work: Work, hosts: list[str]) -> Outcome:
    session: Session[Options] = work.session
    if not session.options.force:
        require_serving(work.deployment, provisioning.seen_by_proxies(work), hosts)
    part = drain_part(in_reach(work), hosts, OPERATOR, session.options.note, session.options.wait)
    outcome = outcomes.of_playbook(work, "drain.yml", alone=True, part=part)
    for name in hosts:
        state = outcome.hosts.setdefault(name, outcomes.HostState())
        state.state = fleet.DRAINED if state.state in ("ok", "changed", "skipped") else state.state
    if outcome.exit_code == Exit.OK:
        outcome.summary = f"{listed(hosts)} {'gets' if len(hosts) == 1 else 'get'} no requests"
        outcome.next_command = session.again("undrain") + "".join(f" {name}" for name in hosts)
    return outcome


def require_serving(deployment: Deployment, members: Mapping[str, Member], hosts: list[str]) -> None:
    """Raises DgctlError (exit 6) when too few servers like these would get requests without them."""
    short = floor.shortage(deployment, hosts, members)
    if short:
        fix = f"give another one back with undrain first; or add --force, and callers are refused ({floor.FORCE} for good)"
        raise DgctlError(replace(short, fix=fix), Exit.HALTED)


def require_members(deployment: Deployment, hosts: tuple[str, ...]) -> list[str]:
    """The named hosts, once each; raises DgctlError (exit 2) for one that no proxy sends requests to."""
    known = fleet.behind_proxies(deployment)
    if not deployment.members(PROXIES):
        fix = "stop requests where they come from; each of these servers has a proxy of its own"
        problem = Problem("no server is in [proxy], so nothing spreads requests", shown(deployment.inventory), fix=fix)
        raise DgctlError(problem, Exit.USAGE)
    unknown = [name for name in hosts if name not in known]
    if unknown:
        raise DgctlError([_unknown(deployment, name, known) for name in unknown], Exit.USAGE)
    return list(dict.fromkeys(hosts))


def _unknown(deployment: Deployment, name: str, known: list[str]) -> Problem:
    fix = suggestion(name, known)
    return Problem("no proxy of this inventory sends requests to this server", shown(deployment.inventory), name, fix)
