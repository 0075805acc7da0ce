"""Takes Ansible's events as they come, and makes of them what became of each host."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from dgctl import content
from dgctl.base import ssh
from dgctl.base.display import printable
from dgctl.base.errors import Problem
from dgctl.output.report import Check
from dgctl.run import events

FINDING = tuple(one.name for one in fields(Check) if one.name != "host")

if TYPE_CHECKING:
    from dgctl.run.playbook import Run


@dataclass
class HostResult:
    """One host's end: `state` is ok, changed, failed, unreachable or skipped; `changed` counts tasks.

    `seconds`: from the run's start to the host's last task. `roles`: seconds of each role's tasks. `data`: what a
    status task returned.
    """

    state: str = "skipped"
    changed: int = 0
    errors: list[Problem] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    roles: dict[str, float] = field(default_factory=dict)


@dataclass
class RunResult:
    """What a playbook did, by its events. `failed_in`: host -> phase; `broken`: why it never ran.

    `pins`: host -> REPOSITORY:RELEASE -> the digest of what it runs as that, or a model file's name -> its SHA-256.
    `moved`: {name, pinned, now, gone} of REPOSITORY:RELEASE that leads to another image by now.
    """

    hosts: dict[str, HostResult]
    findings: list[Check] = field(default_factory=list)
    lowered: list[dict[str, Any]] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    failed_in: dict[str, str] = field(default_factory=dict)
    pins: dict[str, dict[str, str]] = field(default_factory=dict)
    moved: list[dict[str, str]] = field(default_factory=list)
    interrupted: bool = False
    broken: Problem | None = None


class Collector:
    """Takes each event once: into the record, to the progress, into the result."""

    def __init__(self, job: Run, last_phase: list[str]):
        self.job = job
        self._last_phase = last_phase
        self.result = RunResult(
            {name: HostResult() for name in (job.part.hosts if job.part else job.deployment.targets)}
        )
        self._last_words: list[str] = []
        self._stats: dict[str, Any] | None = None
        self._overcome: dict[str, list[Problem]] = {}
        self._active: set[str] = set()
        self._started = time.monotonic()

    def handle(self, event: dict[str, Any]) -> bool:
        """One event; False keeps ansible-runner from writing a file for it."""
        self._log(event.get("stdout") or "")
        line = events.entry(event)
        if line:
            self.job.record.event(line)
        data = event.get("event_data", {})
        kind = event["event"]
        if kind == "playbook_on_play_start":
            self._phase(data.get("name", ""))
        elif kind == "playbook_on_stats":
            self._stats = data
        elif kind == "runner_on_start":
            self._active.add(data.get("play", ""))
            self._start(data.get("host", ""), data.get("task", ""))
        elif kind in events.ENDS:
            self._task(kind, event, data)
        if self.job.on_event:
            self.job.on_event(event)
        return False

    def _log(self, text: str) -> None:
        if not text:
            return
        clean = self.job.record.log(text.replace("\r\n", "\n") + "\n")
        self._last_words = [*self._last_words, *clean.splitlines()][-20:]
        if self.job.verbosity:
            print(printable(clean), end="", file=sys.stderr, flush=True)

    def _phase(self, name: str) -> None:
        if name not in self.result.phases and (not self.job.part or self.job.part.has(name)):
            self.result.phases.append(name)
            self.job.progress.phase(name)

    def _start(self, name: str, task: str) -> None:
        """A task begins: a host that failed before and goes on is in a `rescue` or `always`."""
        host = self.result.hosts.setdefault(name, HostResult())
        if host.errors:
            self._overcome[name] = [*self._overcome.get(name, []), *host.errors]
            host.errors, host.state = [], "changed" if host.changed else "ok"
        self.job.progress.host(name, "running", task)

    def _task(self, kind: str, event: dict[str, Any], data: dict[str, Any]) -> None:
        name, result = data.get("host", ""), data.get("res") or {}
        host = self.result.hosts.setdefault(name, HostResult())
        host.seconds = time.monotonic() - self._started
        if role := data.get("role"):
            host.roles[role] = host.roles.get(role, 0.0) + (data.get("duration") or 0.0)
        self._collect(name, result)
        if kind == "runner_on_ok" and result.get("changed"):
            host.changed += 1
        if kind in (events.FAILED, events.UNREACHABLE) and not data.get("ignore_errors"):
            kind = events.end_of(event)
            problem = events.problem(event, str(self.job.record.log_path), self._way)
            host.errors.append(self._clean(problem))
            host.state = "unreachable" if kind == events.UNREACHABLE else "failed"
            self.result.failed_in[name] = data.get("play", "")
            self.job.progress.host(name, host.state, host.errors[-1].what)
        elif host.state not in ("failed", "unreachable"):
            host.state = "changed" if host.changed else "ok"
            self.job.progress.host(name, host.state, data.get("task", ""))

    def _way(self, name: str) -> ssh.Route:
        host = self.job.deployment.hosts[name]
        return ssh.route(host.vars, host.address, content.root() / "ansible.cfg")[0]

    def _clean(self, problem: Problem) -> Problem:
        return Problem(*(self.job.record.redact(text) for text in problem.as_dict().values()))

    def _collect(self, host: str, result: dict[str, Any]) -> None:
        """`findings`, `lowered`, `moved` and `pins` are what any task may hand over; `status` is status.yml's and audit.yml's."""
        for found in result.get("findings") or []:
            texts = {key: self._text(found.get(key)) for key in FINDING}
            self.result.findings.append(Check(host, **texts))
        for low in result.get("lowered") or []:
            if {"host": host, **low} not in self.result.lowered:
                self.result.lowered.append({"host": host, **low})
        for row in result.get("moved") or []:
            if isinstance(row, dict) and row not in self.result.moved:
                self.result.moved.append(row)
        if isinstance(result.get("pins"), dict):
            self.result.pins.setdefault(host, {}).update(result["pins"])
        if self.job.playbook in ("status.yml", "audit.yml") and isinstance(result.get("status"), dict):
            self.result.hosts[host].data = result["status"]

    def _text(self, value: Any) -> str:
        return "" if value is None else self.job.record.redact(str(value))

    def finish(self, outcome: Any) -> RunResult:
        """Settles what only the end shows: rescued failures, hosts left waiting, a run that never ran."""
        result = self.result
        if self._stats is not None:
            self._settle(self._stats)
        if result.interrupted:
            for host in result.hosts.values():
                host.state = "skipped" if host.state == "ok" else host.state
        nothing = not any(host.errors for host in result.hosts.values())
        if outcome.rc not in (0, None) and nothing and not result.interrupted:
            words = " ".join(line.strip() for line in self._last_words if line.strip())
            what = f"Ansible stopped before any server was asked: {words[-events.LONGEST :]}"
            result.broken = Problem(what, self.job.playbook, fix=f"see {self.job.record.log_path}")
        return result

    def _settle(self, stats: dict[str, Any]) -> None:
        dark = stats.get("dark") or {}
        ended_bad = {**(stats.get("failures") or {}), **dark}
        for name in ended_bad:  # the failure was before an `always`
            host = self.result.hosts[name]
            host.errors = host.errors or self._overcome.get(name, [])
            host.state = "unreachable" if name in dark or host.state == "unreachable" else "failed"
        # Ansible announces the remaining plays even when a fatal error left them no host.
        stopped = bool(ended_bad) and not self._active.issuperset(self._last_phase)
        for name, host in self.result.hosts.items():
            if name not in ended_bad and stopped and host.state == "ok":
                host.state = "skipped"
