"""The way to a server's API: its own port, past every proxy, through one SSH connection that is kept for it alone."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dgctl import content
from dgctl.base import ssh
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.deployment.deployment import Host
from dgctl.verify.facts import ask_at
from dgctl.verify.tls import Proxy, of_api

OPEN_LIMIT_S = 30


@contextmanager
def to_api(host: Host, folder: Path, secured: dict[str, str] | None = None) -> Iterator[Proxy]:
    """Where the load goes, for the time of the block; raises DgctlError (exit 7) where SSH does not get there.

    `secured`: the name and authority of an API with TLS.
    """
    at = ask_at(host.vars.get("deepgram_api_bind_address"))
    port = int(host.vars.get("deepgram_api_port") or 8080)
    way, secrets = ssh.route(host.vars, host.address, content.root() / "ansible.cfg", leave_open=False)
    if way.problem:
        raise DgctlError(Problem(way.problem, host.name), Exit.UNREACHABLE)
    if not way.login:
        yield of_api(at.strip("[]"), port, secured)
        return
    socket = folder / "api"
    options = ("-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{socket}:{at}:{port}")
    words = ssh.with_options(way.over("none").login, *options)
    tunnel = subprocess.Popen(
        words,
        env=ssh.environment(secrets, ssh.write_askpass(folder)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _wait(tunnel, socket, host)
        yield of_api(at.strip("[]"), port, secured, str(socket))
    finally:
        tunnel.kill()
        tunnel.communicate()


def _wait(tunnel: subprocess.Popen[bytes], socket: Path, host: Host) -> None:
    end = time.monotonic() + OPEN_LIMIT_S
    while not socket.exists():
        if tunnel.poll() is not None:
            said = ssh.last_words(tunnel.stderr.read()) or f"ssh ended with {tunnel.returncode}"  # type: ignore[union-attr]
            fix = "see that SSH gets there, and AllowTcpForwarding in /etc/ssh/sshd_config"
            raise DgctlError(Problem("no way to the API through SSH", host.name, said, fix), Exit.UNREACHABLE)
        if time.monotonic() > end:
            what = f"no way to the API through SSH within {OPEN_LIMIT_S} s"
            raise DgctlError(Problem(what, host.name, fix="try it by hand: " + way_by_hand(host)), Exit.UNREACHABLE)
        time.sleep(0.05)


def way_by_hand(host: Host) -> str:
    return ssh.route(host.vars, host.address, content.root() / "ansible.cfg")[0].by_hand or "ssh " + host.address
