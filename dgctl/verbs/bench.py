"""`bench`: how many streams, or files or texts a minute, a server holds. Only servers that get no requests are measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from dgctl import content
from dgctl.base import scratch
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.base.names import suggestion
from dgctl.base.words import columns, count
from dgctl.bench import compare, picture, promised, questions, result, retained, way
from dgctl.bench.job import FILES, KINDS, STREAMS, TTS, Job
from dgctl.bench.result import Result
from dgctl.bench.search import Found, Plan, Search, TooSlow, Unsteady
from dgctl.bench.window import Bounds, Window
from dgctl.bench.workers import Lost, Workers, workers
from dgctl.content import specs
from dgctl.deployment import fleet
from dgctl.deployment.deployment import SERVING, Deployment
from dgctl.output.report import HostState, Outcome
from dgctl.rollout import floor, provisioning
from dgctl.run import history, lease, outcomes, playbook
from dgctl.run import options as common
from dgctl.run.session import Session
from dgctl.run.work import Work, recorded, valid
from dgctl.verify import topology

FIRST_SPOKEN = 60  # texts a minute
LEAST_IN_A_WINDOW = 5  # of them: fewer say nothing


@dataclass(frozen=True, kw_only=True)
class Options(common.OnHosts):
    """What is measured, how long, and up to what load."""

    streams: bool = False
    files: bool = False
    tts: bool = False
    window: int = 30  # s, of each load
    sustain: int = 120  # s, of the load that is found
    most: int = 2000
    file_seconds: int = 300
    yes_serving: bool = False
    compare: bool = False

    @property
    def kinds(self) -> list[str]:
        """Those that were asked for."""
        return [kind for kind in KINDS if getattr(self, kind)]

    @property
    def kind(self) -> str:
        return self.kinds[0] if self.kinds else STREAMS


def bench(session: Session[Options]) -> Outcome:
    if len(session.options.kinds) > 1:
        raise DgctlError(Problem("a bench is of --streams, of --files or of --tts", fix="give one of them"), Exit.USAGE)
    if session.options.compare:
        return compared(session)
    with recorded(session) as work, lease.alone(work):
        kind = session.options.kind
        if kind == TTS:
            questions.require_voices(work.deployment)
        members = provisioning.seen_by_proxies(work) if fleet.behind_proxies(work.deployment) else {}
        hosts = chosen(work.deployment, members, session.options.hosts)
        asked = {name: questions.question(work.deployment, work.deployment.hosts[name], kind) for name in hosts}
        if not session.options.yes_serving:
            require_drained(session, work.deployment, members, hosts)
        about = seen(work, hosts)
        states: dict[str, HostState] = {}
        outcome = Outcome(hosts=states, log=work.log, text_only=True)
        with workers() as load:
            for name in hosts:
                states[name], lines = measured(work, name, asked[name], about[name], load)
                outcome.text += lines
        return outcome


def compared(session: Session[Options]) -> Outcome:
    """What earlier benches found, side by side; nothing is measured."""
    with valid(session):
        folder = history.folder(session.inventory) / "bench"
        results, bad = retained.read(folder)
        kinds = session.options.kinds or KINDS
        hosts = session.options.hosts
        found = compare.rows(one for one in results if one.kind in kinds and (not hosts or one.host in hosts))
        outcome = Outcome(benches=[row.as_dict() for row in found])
        outcome.hints = [Problem("this is no result of a bench", shown(folder / name), fix="remove it") for name in bad]
        outcome.text = columns(compare.table(found)) if found else []
        outcome.summary = f"{count(len(results), 'result')} stored"
        return outcome


def chosen(deployment: Deployment, members: dict[str, fleet.Member], named: tuple[str, ...]) -> list[str]:
    """The servers to measure: those that are named, else those that are drained. Raises DgctlError (exit 2)."""
    known = deployment.members(*SERVING)
    for name in named:
        if name not in known:
            fix = suggestion(name, known)
            raise DgctlError(Problem("no server with an API has this name", value=name, fix=fix), Exit.USAGE)
    drained = [name for name in known if name in members and members[name].drained]
    if not named and not drained:
        fix = "name a server; it is measured while it is drained"
        raise DgctlError(Problem("no server is named, and none is drained", fix=fix), Exit.USAGE)
    return list(dict.fromkeys(named or drained))


def require_drained(
    session: Session[Options], deployment: Deployment, members: dict[str, fleet.Member], hosts: list[str]
) -> None:
    """Raises DgctlError (exit 6) for a server that callers reach: a bench fills it until it fails."""
    if not members:
        fix = "see that nobody calls it, and add --yes-serving; the only bench that disturbs nobody is that of a drained server"
        problems = [
            Problem("callers reach this server directly, so it cannot be drained", name, fix=fix) for name in hosts
        ]
        raise DgctlError(problems, Exit.HALTED)
    serving = [name for name in hosts if not (name in members and members[name].drained)]
    fix = f"{session.again('drain')} {' '.join(serving)}"
    if serving:
        raise DgctlError([Problem("this server gets requests", name, fix=fix) for name in serving], Exit.HALTED)


def seen(work: Work, hosts: list[str]) -> dict[str, dict[str, Any]]:
    """What is to be measured, as the servers say it themselves; raises DgctlError where one is not idle and well."""
    part = playbook.Part(hosts, {})
    reported = outcomes.of_playbook(work, "status.yml", alone=True, part=part)
    if reported.exit_code != Exit.OK:
        raise DgctlError(reported.errors, reported.exit_code)
    found, problems = {}, []
    for name in hosts:
        status = (reported.hosts or {}).get(name, HostState()).status
        api = status.get("api") or {}
        active = sum(value for key, value in api.items() if key.startswith("active_") and isinstance(value, int))
        if api.get("system_health") not in ("Ready", "Healthy", "Degraded"):
            fix = work.session.again("doctor", limit=name)
            problems.append(Problem("the API does not serve", name, str(api.get("system_health") or "no answer"), fix))
        elif active and not work.session.options.yes_serving:
            problems.append(Problem("it has requests still", name, str(active), "wait until they are over"))
        gpus = [str(gpu.get("name")) for gpu in status.get("gpus") or []]
        host = work.deployment.hosts[name]
        found[name] = {
            "release": str(status.get("release") or host.vars.get("deepgram_release") or ""),
            "profile": str(host.vars.get("deepgram_profile") or "stt"),
            "gpus": " + ".join(gpus),
        }
    if problems:
        raise DgctlError(problems, Exit.HALTED)
    return found


def measured(
    work: Work, name: str, asked: tuple[str, dict[str, str]], about: dict[str, Any], load: Workers
) -> tuple[HostState, list[str]]:
    """Measures one server: its state, and lines for people; raises DgctlError where nothing can be said."""
    session, host = work.session, work.deployment.hosts[name]
    kind, folder = session.options.kind, history.folder(session.inventory) / "bench"
    bounds = promised.bounds(host.vars, kind)
    secured = topology.desired_state(work.deployment, host)["api_tls"]
    with scratch.folder("bench") as place, way.to_api(host, place, secured) as api:
        job = Job(kind, api, *asked, window_s=float(session.options.window), file_s=float(session.options.file_seconds))
        found = search(work, job, load, name, bounds)
    moment = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    known = specs.options(content.root())
    done = Result(
        name,
        kind,
        moment,
        found,
        about | {"model": asked[1]["model"]},
        bounds,
        result.last(name, kind, folder),
        job.file_s if kind == FILES else None,
    )
    file = result.keep(done, folder)
    drawn = file.with_suffix(".svg")
    drawn.write_text(picture.svg(done), encoding="utf-8")
    peers = floor.peers(work.deployment, floor.kinds(work.deployment, name)[0])
    tips = result.advice(done, len(peers), known, about["profile"] == "flux")
    lines = [*table(done), result.sentence(done), *(f"  {tip}" for tip in tips), f"Kept: {file}, {drawn.name}"]
    return HostState(status={"bench": done.document() | {"advice": tips, "file": str(file)}}), lines


def search(work: Work, job: Job, load: Workers, name: str, bounds: Bounds) -> Found:
    """The search on one server, told as it goes. Raises DgctlError (exit 6) where this machine is the limit."""
    session = work.session

    def probe(count: int, long: bool) -> Window:
        window = load.measure(
            replace(job, load=count, window_s=float(session.options.sustain if long else session.options.window))
        )
        work.tell(
            f"{name}: {count}: {window.mean_s * 1000:.0f} ms mean, {window.p95_s * 1000:.0f} ms P95" + _lost(window)
        )
        return window

    try:
        return Search(probe, bounds, plan(session.options)).run()
    except TooSlow as error:
        fix = "run it where nothing else runs, on a machine with more cores, near the server; or give a lower --most"
        raise DgctlError(Problem(f"nothing can be said of {name}", value=str(error), fix=fix), Exit.HALTED) from error
    except Unsteady as error:
        changed = f"{name} changed while it was measured, so nothing can be said of it"
        doctor = session.again("doctor", limit=name)
        fix = f"see that nothing else runs there, and whether its GPU is slowed down ({doctor}); then run it again"
        raise DgctlError(Problem(changed, value=str(error), fix=fix), Exit.HALTED) from error
    except Lost as error:
        raise DgctlError(Problem(str(error), name, fix="run it again; is there enough memory?"), Exit.HALTED) from error


def plan(options: Options) -> Plan:
    """From where to where to search."""
    if options.kind != TTS:
        return Plan(most=options.most)
    return Plan(FIRST_SPOKEN, options.most, least=min(options.most, -(-60 * LEAST_IN_A_WINDOW // options.window)))


def _lost(window: Window) -> str:
    return f", {window.refused + window.broken} lost ({window.causes[0]})" if window.causes else ""


def table(done: Result) -> list[str]:
    """The windows, in columns."""
    return columns(result.table(done), right=True)
