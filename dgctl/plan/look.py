"""The look: one read-only round trip to each server, that says of each role whether it is as desired.

Over the same connection a run has the servers note what it begins, and what it has proven. What runs on the server is
the source of plugins/module_utils/look/look.py and what that imports, sent along; nothing is left there.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dgctl import content
from dgctl.base import limited, processes, scratch, ssh, unreachable
from dgctl.base.errors import Problem
from dgctl.content import bundle
from dgctl.deployment.deployment import Host

FORMAT = 1
LIMIT_S = 60  # a look takes a tenth of a second; a server that needs this long is not healthy
PARALLEL = 32  # sessions at a time
LEFT_OPEN = 64  # connections left open for Ansible: each is a process of 1.4 MB
PAUSES_S = (0.5, 2)
_CLOSED = re.compile(rb"kex_exchange_identification|Connection (closed|reset) by")
_MARK = "applied-state: "
ENTRY = "look.look"


Request = tuple[Host, dict[str, str]]


@dataclass
class Seen:
    """What a look found on one server: `roles` as look/look.py answers; `problem` when it could not be asked.

    Of a role `asked` (by checksums.py): {thing, how} of what is asked for otherwise, though the server is as recorded.

    `system`: ID and VERSION_ID of its os-release.
    `answers`: address -> what it said; `reports`: file -> what it holds; both only of roles that recorded them.
    `lease`: whose run may change it: what look/lease.py keeps there, and the server's `time`.
    `doubt`: it was asked, and its answer says nothing about its roles.
    """

    roles: dict[str, dict[str, Any]] = field(default_factory=dict)
    verified: bool = False
    system: dict[str, str] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    reports: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    lease: dict[str, Any] = field(default_factory=dict)
    doubt: str = ""
    problem: Problem | None = None

    @property
    def is_in_sync(self) -> bool:
        """Whether every role is as desired; False where nothing is known of any."""
        roles = self.roles.values()
        return bool(roles) and all(role["state"] == "right" and not role.get("asked") for role in roles)


def look(requests: Iterable[Request], tell: Callable[[str, Seen], None]) -> None:
    """Looks at each host, given with the fingerprints of its roles; `tell` hears each answer, and nothing keeps it."""
    _ask("look", requests, tell)


def mark_started(requests: Iterable[Request], tell: Callable[[str, bool], None]) -> None:
    """Marks these roles of each host as begun and not done; `tell` hears of each host whether it noted that."""
    _ask("begun", requests, lambda name, seen: tell(name, not seen.problem and not seen.doubt))


def mark_verified(requests: Iterable[Request]) -> None:
    """Notes on each host that it was verified with these fingerprints."""
    _ask("verified", requests, lambda name, seen: None)


def _ask(mode: str, requests: Iterable[Request], tell: Callable[[str, Seen], None]) -> None:
    asked = list(requests)
    with scratch.folder("look") as folder:
        asker = Asker([host for host, _ in asked], ssh.write_askpass(folder))
        with _workers() as pool:
            for name, seen in pool.map(lambda what: asker.ask(what[0], mode, roles=what[1]), asked):
                tell(name, seen)


class Asker:
    """Asks servers, also from other threads than the one that made it."""

    def __init__(self, hosts: list[Host], askpass: str, entry: str = ENTRY):
        leave_open, config = len(hosts) <= LEFT_OPEN, content.root() / "ansible.cfg"
        self._program = bundle.program(content.utilities(), entry)
        # Both here, because neither Ansible's code nor CPython 3.11's ast is made for threads.
        self._ways = {host.name: ssh.route(host.vars, host.address, config, leave_open=leave_open) for host in hosts}
        self._askpass = askpass

    def ask(self, host: Host, mode: str, **more: Any) -> tuple[str, Seen]:
        request = {"format": FORMAT, "mode": mode, "host": host.name, **more}
        return host.name, _one(host, self._program, request, self._askpass, *self._ways[host.name])


@contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """Threads that an interrupt does not have to wait for: their ssh processes are ended."""
    pool = ThreadPoolExecutor(PARALLEL)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        processes.send(processes.children(os.getpid()), signal.SIGTERM)
        raise
    finally:
        pool.shutdown()


def _one(
    host: Host, program: str, request: dict[str, Any], askpass: str, way: ssh.Route, secrets: dict[str, str]
) -> Seen:
    if way.problem:
        return Seen(problem=Problem(way.problem, host.name, fix="use ssh and sudo for this server"))
    words = way.command([bundle.interpreter(host.vars.get("ansible_python_interpreter")), "-IS", "-c", bundle.BOOT])
    password = f"{secrets['become']}\n" if "become" in secrets else ""
    text = password + bundle.stdin(program, json.dumps(request))
    try:
        done = _run(words, text.encode(), ssh.environment(secrets, askpass))
    except subprocess.TimeoutExpired:
        fix = f"try it by hand: {way.by_hand}" if way.by_hand else "look what holds it up"
        return Seen(problem=Problem(f"the server did not answer within {LIMIT_S} s", host.name, fix=fix))
    except OSError as error:
        what, fix = unreachable.not_started(error)
        return Seen(problem=Problem(what, host.name, fix=fix))
    return _read(host, done, way)


def _run(words: list[str], text: bytes, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Runs the look; a connection that sshd closed before it began, for having too many at once, is tried again."""
    for pause in (*PAUSES_S, None):
        done = limited.run(words, text, LIMIT_S, environment)
        if pause is None or done.returncode != 255 or not _CLOSED.search(done.stderr):
            break
        time.sleep(pause)
    return done


def _read(host: Host, done: subprocess.CompletedProcess[bytes], way: ssh.Route) -> Seen:
    for line in done.stdout.decode(errors="replace").splitlines():
        if line.startswith(_MARK):
            return _reported(host, line.removeprefix(_MARK))
    words = ssh.last_words(done.stderr) or f"exit status {done.returncode}"
    if b"Traceback" in done.stderr:
        return Seen(doubt=f"the look failed: {words}")
    what, fix = unreachable.cause(words, ssh.effective(way))
    return Seen(problem=Problem(what, host.name, words, fix))


def _reported(host: Host, text: str) -> Seen:
    """What a server answered; an answer of another shape is this server's fault alone."""
    shapes = dict.fromkeys(("roles", "system", "answers", "reports", "lease"), dict) | {"seconds": (int, float)}
    try:
        reported = json.loads(text)
        wrong = [
            name
            for name, shape in shapes.items()
            if reported.get(name) is not None and not isinstance(reported[name], shape)
        ]
    except (ValueError, AttributeError, RecursionError):
        wrong = ["all of it"]
    if wrong:
        what, fix = (
            "the server's answer is none of the look's",
            "is its Python, or what its shell prints, another one's work?",
        )
        return Seen(problem=Problem(what, host.name, wrong[0], fix))
    return Seen(
        reported.get("roles") or {},
        bool(reported.get("verified")),
        reported.get("system") or {},
        reported.get("answers") or {},
        reported.get("reports") or {},
        reported.get("seconds") or 0.0,
        {**(reported.get("lease") or {}), **({"time": reported["time"]} if "time" in reported else {})},
    )
