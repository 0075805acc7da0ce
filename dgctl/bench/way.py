"""The way to a port of a server, such as its API's own, past every proxy: one SSH connection that is kept for it alone."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dgctl import content
from dgctl.base import ssh, unreachable
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.deployment.deployment import Host
from dgctl.verify.facts import ask_at
from dgctl.verify.tls import Proxy, of_api

OPEN_LIMIT_S = 30
LAST_BYTES = 4096
NO_FORWARDING = "see that SSH gets there, and AllowTcpForwarding in /etc/ssh/sshd_config"


@contextmanager
def to_api(host: Host, folder: Path, secured: dict[str, str] | None = None) -> Iterator[Proxy]:
    """Where the load goes, for the time of the block; raises DgctlError (exit 7) where SSH does not get there.

    `secured`: the name and authority of an API with TLS.
    """
    at = ask_at(host.vars.get("deepgram_api_bind_address"))
    with to_port(host, folder, at, int(host.vars.get("deepgram_api_port") or 8080), "the API", secured) as found:
        yield found


@contextmanager
def to_port(
    host: Host, folder: Path, at: str, port: int, what: str, secured: dict[str, str] | None = None
) -> Iterator[Proxy]:
    """The way to a port of the server, as the server itself reaches it at the address `at`; raises DgctlError (exit 7)."""
    way, secrets = ssh.route(host.vars, host.address, content.root() / "ansible.cfg", leave_open=False)
    if way.problem:
        raise DgctlError(Problem(way.problem, host.name), Exit.UNREACHABLE)
    if not way.login:
        yield of_api(at.strip("[]"), port, secured)
        return
    socket = folder / f"port-{port}"
    options = ("-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{socket}:{at}:{port}")
    words = ssh.with_options(way.over("none").login, *options)
    # Into a file: it says a line for each connection that fails, and into a pipe that is full it would wait.
    with _log(folder, port).open("wb") as errors:
        tunnel = subprocess.Popen(
            words,
            env=ssh.environment(secrets, ssh.write_askpass(folder)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
    try:
        _wait(tunnel, socket, host, what, way)
        yield of_api(at.strip("[]"), port, secured, str(socket))
    finally:
        tunnel.kill()
        tunnel.wait()


def reported(folder: Path, port: int) -> str:
    """What ssh said last on the way to a port, such as why a connection through it failed; "" for nothing."""
    try:
        with _log(folder, port).open("rb") as errors:
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - LAST_BYTES))
            lines = errors.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _log(folder: Path, port: int) -> Path:
    return folder / f"port-{port}.log"


def _wait(tunnel: subprocess.Popen[bytes], socket: Path, host: Host, what: str, way: ssh.Route) -> None:
    end = time.monotonic() + OPEN_LIMIT_S
    while not socket.exists():
        if tunnel.poll() is not None:
            raise DgctlError(_ended(tunnel, socket, host, what, way), Exit.UNREACHABLE)
        if time.monotonic() > end:
            late = f"no way to {what} through SSH within {OPEN_LIMIT_S} s"
            raise DgctlError(Problem(late, host.name, fix="try it by hand: " + way_by_hand(host)), Exit.UNREACHABLE)
        time.sleep(0.05)


def _ended(tunnel: subprocess.Popen[bytes], socket: Path, host: Host, what: str, way: ssh.Route) -> Problem:
    """Why the way ended before it was open: as ssh says it, and what to do about that."""
    words = ssh.last_words(socket.with_suffix(".log").read_bytes()) or f"ssh ended with {tunnel.returncode}"
    cause, fix = unreachable.cause(words, ssh.effective(way))
    if cause == unreachable.UNKNOWN[0]:
        return Problem(f"no way to {what} through SSH", host.name, words, NO_FORWARDING)
    return Problem(f"no way to {what} through SSH: {cause}", host.name, words, fix)


def way_by_hand(host: Host) -> str:
    return ssh.route(host.vars, host.address, content.root() / "ansible.cfg")[0].by_hand or "ssh " + host.address
