"""`capacity`: how full the servers are, when they will be, and what one more or one less changes. It only reads."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dgctl.base import scratch
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.bench import retained, way
from dgctl.capacity import gpus, pools, prometheus, servers, text, used
from dgctl.capacity.prometheus import Prometheus, Silent
from dgctl.capacity.used import Seen
from dgctl.deployment.deployment import Deployment, Host
from dgctl.output.report import Outcome
from dgctl.run import history
from dgctl.run import options as common
from dgctl.run.session import Session
from dgctl.run.work import valid

# What is in the cause, and what to do; the first that fits counts (OpenSSH, channels.c: the reasons why a channel is not opened).
FIXES = (
    (r"ssh: .*prohibited", "set AllowTcpForwarding yes in the server's /etc/ssh/sshd_config, and reload sshd"),
    (r"ssh: .*open failed", "on the server: systemctl status prometheus; and its port: monitoring_prometheus_port"),
    (r"", "see that it runs there, and its targets: docs/monitoring.md"),
)


@dataclass(frozen=True, kw_only=True)
class Options(common.Options):
    prometheus: str = ""  # the URL of one that dgctl did not install
    days: int = 28


def capacity(session: Session[Options]) -> Outcome:
    url = session.options.prometheus
    if url and (mistake := prometheus.mistake(url)):
        raise DgctlError(
            Problem(f"no URL of a Prometheus: {mistake}", "--prometheus", _without_account(url)), Exit.USAGE
        )
    if session.limit:
        what = "what callers use is of all servers, and so are the figures of capacity"
        raise DgctlError(Problem(what, "--limit", session.limit, "leave it out"), Exit.USAGE)
    with valid(session) as work:
        deployment, outcome = work.deployment, Outcome()
        folder = history.folder(session.inventory) / "bench"
        results, bad = retained.read(folder)
        outcome.hints = [Problem("this is no result of a bench", shown(folder / name), fix="remove it") for name in bad]
        seen = _seen(session, deployment, outcome)
        _report(session, deployment, servers.found(deployment, results, seen.limits, seen.gpus), seen, results, outcome)
        return outcome


def _report(
    session: Session[Options],
    deployment: Deployment,
    of: list[servers.Server],
    seen: Seen,
    results: list[retained.Kept],
    outcome: Outcome,
) -> None:
    variables = _first(deployment).vars
    factor = float(variables.get("deepgram_sla_file_factor") or 100)
    found = pools.profiles(of, seen.by_profile, factor)
    tables = {one.name: gpus.rows(of, results, one.name) for one in found}
    full = float(variables.get("monitoring_saturation_percent") or 70) / 100
    advised = [tip for one in found for tip in text.advice(one, session.again, full)]
    outcome.capacity = {
        "profiles": text.document(found, tables),
        "promised": {
            "stream_ms": variables.get("deepgram_sla_stream_ms"),
            "file_factor": factor,
            "speech_ms": variables.get("deepgram_sla_speech_ms"),
        },
        "advice": advised,
    }
    outcome.text = [line for one in found for line in text.lines(one, tables[one.name], factor)]
    outcome.text += [f"note: {problem}" for problem in seen.problems]
    outcome.text += [f"advice: {tip}" for tip in advised] or ["advice: nothing is to be done now"]


def _first(deployment: Deployment) -> Host:
    names = deployment.members("node", "engine") or list(deployment.hosts)
    return deployment.hosts[names[0]]


def _seen(session: Session[Options], deployment: Deployment, outcome: Outcome) -> Seen:
    """What the first Prometheus knows that answers; why others do not is in the outcome, which then ends with 7."""
    asked = [session.options.prometheus] if session.options.prometheus else deployment.members("monitoring")
    for one in asked:
        try:
            with _opened(deployment, one) as found:
                seen = used.seen(found, session.options.days, time.time())
                outcome.errors, outcome.exit_code = [], Exit.OK
                return seen
        except Silent as error:
            outcome.errors.append(Problem("Prometheus tells nothing", one, str(error), _fix(str(error))))
        except DgctlError as error:
            outcome.errors += error.problems
        outcome.exit_code = Exit.UNREACHABLE
    return Seen()


@contextmanager
def _opened(deployment: Deployment, one: str) -> Iterator[Prometheus]:
    """The one behind a URL, or on a server of the group `monitoring`."""
    host = deployment.hosts.get(one)
    if not host:
        with prometheus.at_url(one) as found:
            yield found
        return
    port = int(host.vars.get("monitoring_prometheus_port") or 9090)
    with (
        scratch.folder("capacity") as place,
        way.to_port(host, place, "127.0.0.1", port, "Prometheus") as there,
        prometheus.at(there) as found,
    ):
        try:
            yield found
        except Silent as error:
            raise Silent("; ssh: ".join(filter(None, [str(error), way.reported(place, port)]))) from error


def _fix(cause: str) -> str:
    """What to do where it tells nothing: by what ssh says of the way to its port, if anything."""
    return next(fix for pattern, fix in FIXES if re.search(pattern, cause))


def _without_account(url: str) -> str:
    """A URL without what may be a password."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}********@{rest.rpartition('@')[2]}" if "@" in rest else url
