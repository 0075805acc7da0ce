"""Reads what servers said: one SSH session each, over which lines come as they are written there.

What runs on the server is the source of plugins/module_utils/logs/logs.py and what that imports; nothing is left there.
"""

from __future__ import annotations

import contextlib
import json
import math
import queue
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, Any

from dgctl import content
from dgctl.base import scratch, ssh, unreachable
from dgctl.base.errors import Problem
from dgctl.content import bundle
from dgctl.deployment.deployment import Host

ENTRY = "logs.logs"
LONGEST = 1 << 20  # bytes of a line; a program of ours writes none that is near it
MOST_BYTES = 32 << 20  # of a server's lines, where all of them are kept until the end (without --follow)
WAITING = 10_000  # lines that wait to be shown; a server that writes faster waits
TOO_MUCH = f"more than {MOST_BYTES >> 20} MB of lines: the rest was left out; a later --since shows them whole"
LAST_S = 253402300800  # the end of the year 9999: no moment is after it
NO_LINE = "what it writes is torn, too long or no line of a log, and was left out"
_TEXTS = ("source", "text", "note", "signature", "meaning", "fix")
# What a line has; the first that it has all of counts, and the rest of it is dropped.
_FORMS = (("time", "source", "text", "signature", "meaning", "fix"), ("time", "source", "text"), ("note",))
MARK = "log: "
LIMIT_S = 120  # without --follow: the server's own programs have 30 s

Said = tuple[str, "dict[str, Any] | Problem"]


def read(hosts: list[Host], request: dict[str, Any]) -> Iterator[Said]:
    """(server, line) as they come, a line as logs/logs.py prints it; (server, Problem) for one that cannot be asked.

    Ends when every server has ended. Whoever stops early closes the iterator, and the sessions end.
    """
    config = content.root() / "ansible.cfg"
    bundle.program(content.utilities(), ENTRY)  # kept from now on
    ways = {host.name: ssh.route(host.vars, host.address, config) for host in hosts}
    with scratch.folder("logs") as folder:
        sessions = Sessions(request, ssh.write_askpass(folder))
        for host in hosts:
            threading.Thread(target=sessions.ask, args=(host, *ways[host.name]), daemon=True).start()
        try:
            yield from sessions.heard(len(hosts))
        finally:
            sessions.end()


class Sessions:
    """One a server, each read by a thread of its own; what they say comes together in a queue."""

    def __init__(self, request: dict[str, Any], askpass: str):
        self.request, self.askpass = request, askpass
        self.reported: queue.Queue[tuple[str, Any]] = queue.Queue(WAITING)
        self.over = threading.Event()
        self.running: list[subprocess.Popen[bytes]] = []

    def heard(self, left: int) -> Iterator[Said]:
        """What so many servers say, until each has ended."""
        while left:
            name, what = self.reported.get()
            if what is None:
                left -= 1
            else:
                yield name, what

    def put(self, name: str, what: Any) -> None:
        """Waits while nobody hears, and forgets it once nobody will."""
        while not self.over.is_set():
            with contextlib.suppress(queue.Full):
                return self.reported.put((name, what), timeout=0.5)

    def end(self) -> None:
        self.over.set()
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()

    def ask(self, host: Host, way: ssh.Route, secrets: dict[str, str]) -> None:
        """Puts every line of one server into the queue, and its problem if there is one; None at the end."""
        try:
            with tempfile.TemporaryFile() as errors:
                problem = self._session(host, way, secrets, errors)
            if problem:
                self.put(host.name, problem)
        finally:
            self.put(host.name, None)

    def _session(self, host: Host, way: ssh.Route, secrets: dict[str, str], errors: IO[bytes]) -> Problem | None:
        if way.problem:
            return Problem(way.problem, host.name, fix="use ssh and sudo for this server")
        words = way.command([bundle.interpreter(host.vars.get("ansible_python_interpreter")), "-IS", "-c", bundle.BOOT])
        environment = ssh.environment(secrets, self.askpass)
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment
            )
        except OSError as error:
            what, fix = unreachable.not_started(error)
            return Problem(what, host.name, fix=fix)
        self.running.append(process)
        with _limited(process, None if self.request["follow"] else LIMIT_S):
            status = self._talk(host.name, process, secrets)
        errors.seek(0)
        return _problem(host, way, status, errors.read()) if status else None

    def _talk(self, name: str, process: subprocess.Popen[bytes], secrets: dict[str, str]) -> int:
        """Sends the program, hears its lines; its exit status."""
        assert process.stdin and process.stdout
        password = f"{secrets['become']}\n" if "become" in secrets else ""
        text = password + bundle.stdin(bundle.program(content.utilities(), ENTRY), json.dumps(self.request))
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(text.encode())
            process.stdin.close()
        torn, left = False, math.inf if self.request["follow"] else MOST_BYTES
        for raw in _lines(process.stdout):
            line, left = _line(raw) if raw else None, left - len(raw)
            if left < 0:
                self.put(name, {"note": TOO_MUCH})
                process.kill()
                process.wait()
                return 0
            if line:
                self.put(name, line)
            elif not torn:
                self.put(name, {"note": NO_LINE})
                torn = True
        return process.wait()


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """What stands behind the mark in each line that has it; empty for one that is not whole, or longer than any of ours."""
    begins = True
    while piece := stream.readline(LONGEST):
        whole = piece.endswith(b"\n")
        if begins and piece.startswith(MARK.encode()):
            yield piece[len(MARK) :] if whole else b""
        begins = whole


def _line(raw: bytes) -> dict[str, Any] | None:
    """A line as logs/logs.py prints it; None for what a server has from elsewhere, which nobody else is to trust."""
    try:
        reported = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(reported, dict) or any(not isinstance(reported.get(name, ""), str) for name in _TEXTS):
        return None
    when = reported.get("time", 0)
    if isinstance(when, bool) or not isinstance(when, (int, float)) or not 0 <= when < LAST_S:
        return None
    return next(({name: reported[name] for name in form} for form in _FORMS if reported.keys() >= set(form)), None)


@contextlib.contextmanager
def _limited(process: subprocess.Popen[bytes], seconds: float | None) -> Iterator[None]:
    """Kills the process after so many seconds; None for no limit."""
    timer = threading.Timer(seconds or 0, process.kill)
    timer.daemon = True
    if seconds:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _problem(host: Host, way: ssh.Route, status: int, reported: bytes) -> Problem:
    words = ssh.last_words(reported) or f"exit status {status}"
    if b"Traceback" in reported:
        return Problem("its logs cannot be read", host.name, words, "this is a bug in dgctl: please report it")
    if status < 0:
        return Problem(f"the server did not answer within {LIMIT_S} s", host.name, fix=f"try it by hand: {way.by_hand}")
    what, fix = unreachable.cause(words, ssh.effective(way))
    return Problem(what, host.name, words, fix)
