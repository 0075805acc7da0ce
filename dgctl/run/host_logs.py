"""Reads what servers said: one SSH session each, over which lines come as they are written there.

What runs on the server is the source of plugins/module_utils/logs/logs.py and what that imports; nothing is left there.
"""

from __future__ import annotations

import contextlib
import functools
import json
import queue
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dgctl import content
from dgctl.base import scratch, ssh, unreachable
from dgctl.base.errors import Problem
from dgctl.content import bundle
from dgctl.deployment.deployment import Host

ENTRY = "logs.logs"
MARK = "log: "
LIMIT_S = 120  # without --follow: the server's own programs have 30 s
_CALL = f"import ansible.module_utils.{ENTRY} as _logs\n_logs.main(_request)\n"

Said = tuple[str, "dict[str, Any] | Problem"]


def read(hosts: list[Host], request: dict[str, Any]) -> Iterator[Said]:
    """(server, line) as they come, a line as logs/logs.py prints it; (server, Problem) for one that cannot be asked.

    Ends when every server has ended. Whoever stops early closes the iterator, and the sessions end.
    """
    config = content.root() / "ansible.cfg"
    _program(content.utilities())
    ways = {host.name: ssh.route(host.vars, host.address, config) for host in hosts}
    said: queue.Queue[tuple[str, Any]] = queue.Queue()
    running: list[subprocess.Popen[bytes]] = []
    with scratch.folder("logs") as folder:
        askpass = folder / "askpass"
        askpass.touch(0o700)
        askpass.write_text(ssh.ASKPASS)
        for host in hosts:
            ask = functools.partial(_ask, host, request, str(askpass), *ways[host.name], said, running)
            threading.Thread(target=ask, daemon=True).start()
        try:
            yield from _heard(said, len(hosts))
        finally:
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()


def _heard(said: queue.Queue[tuple[str, Any]], left: int) -> Iterator[Said]:
    while left:
        name, what = said.get()
        if what is None:
            left -= 1
        else:
            yield name, what


def _ask(
    host: Host,
    request: dict[str, Any],
    askpass: str,
    way: ssh.Route,
    secrets: dict[str, str],
    said: queue.Queue[tuple[str, Any]],
    running: list[subprocess.Popen[bytes]],
) -> None:
    """Puts every line of one server into the queue, then None."""
    try:
        problem = _session(host, request, askpass, way, secrets, said, running)
        if problem:
            said.put((host.name, problem))
    finally:
        said.put((host.name, None))


def _session(host, request, askpass, way, secrets, said, running) -> Problem | None:  # type: ignore[no-untyped-def]
    if way.problem:
        return Problem(way.problem, host.name, fix="use ssh and sudo for this server")
    words = way.command([bundle.interpreter(host.vars.get("ansible_python_interpreter")), "-IS", "-c", bundle.BOOT])
    text = (f"{secrets['become']}\n" if "become" in secrets else "") + bundle.stdin(
        _program(content.utilities()), json.dumps(request)
    )
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=ssh.environment(secrets, askpass),
            )
        except OSError as error:
            fix = f"install {error.filename} on this machine, or name another one in the inventory"
            return Problem(f"{error.filename}: {error.strerror}", host.name, fix=fix)
        running.append(process)
        limit = None if request["follow"] else threading.Timer(LIMIT_S, process.kill)
        if limit:
            limit.daemon = True
            limit.start()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(text.encode())
            process.stdin.close()
        for line in process.stdout:
            if line.startswith(MARK.encode()):
                said.put((host.name, json.loads(line[len(MARK) :])))
        status = process.wait()
        if limit:
            limit.cancel()
        errors.seek(0)
        return _problem(host, way, status, errors.read()) if status else None


def _problem(host: Host, way: ssh.Route, status: int, said: bytes) -> Problem:
    words = ssh.last_words(said) or f"exit status {status}"
    if b"Traceback" in said:
        return Problem("its logs cannot be read", host.name, words, "this is a bug in dgctl: please report it")
    if status < 0:
        return Problem(f"the server did not answer within {LIMIT_S} s", host.name, fix=f"try it by hand: {way.by_hand}")
    what, fix = unreachable.cause(words, ssh.effective(way))
    return Problem(what, host.name, words, fix)


@functools.cache
def _program(folder: Path) -> str:
    return bundle.packed(bundle.sources(folder, {ENTRY}) + _CALL)
