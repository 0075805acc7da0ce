"""The benchmark's own lab servers: made, recreated, asked, taken away. Other labs are left alone."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.deployment import Deployment
from bench.measure import BenchError
from bench.world import CACHE, PROJECT

LAB = PROJECT / "bin/lab"
RIGHT, BLANK, FLEET = "bench", "benchnew", "benchfleet"


def up(name: str, nodes: int, *options: str) -> Deployment:
    """The lab `name` with this many GPU servers, and its deployment's folder."""
    folder = CACHE / ("right" if name == RIGHT else name)
    _lab("up", "--name", name, "--nodes", str(nodes), "--inventory", str(folder), *options)
    return Deployment(folder)


def blank() -> Deployment:
    """One server that was never touched."""
    down(BLANK)
    return up(BLANK, 1)


def down(name: str) -> None:
    _lab("down", "--name", name)


def listed(name: str) -> list[dict[str, Any]]:
    """The lab's servers, as `bin/lab list` describes them."""
    return json.loads(_lab("list", "--name", name, "--json"))


def names(name: str) -> list[str]:
    """The lab's servers; a name is also the container's."""
    return [server["name"] for server in listed(name)]


def kill(server: str, *options: str) -> None:
    """Ends every process of a server; with `--cut` its network first."""
    _lab("kill", *options, server)


def start(server: str) -> None:
    """Boots a server that was killed."""
    _lab("start", server)


def quoted(text: str) -> str:
    """A word for `sh`."""
    return shlex.quote(text)


def sh(server: str, script: str, stdin: bytes = b"") -> bytes:
    """Runs a script on a server as root, without SSH; returns its stdout."""
    command = ["docker", "exec", "-i", server, "sh", "-euc", script]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=300)
    if done.returncode:
        raise BenchError(f"{server}: {script[:200]!r} ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    return done.stdout


def settle(seconds: float = 2) -> None:
    """Lets what the last run left on the servers come to rest, so that the next is not measured with it."""
    time.sleep(seconds)


def _lab(*words: str) -> str:
    done = subprocess.run([str(LAB), *words], capture_output=True, text=True, timeout=1800)
    if done.returncode:
        raise BenchError(f"bin/lab {' '.join(words)} ended with {done.returncode}: {done.stderr[-1500:]}")
    return done.stdout


def payload(server: str, paths: list[str], to: Path) -> None:
    """A tar of these files of a server."""
    to.touch(mode=0o600)
    to.write_bytes(
        sh(server, "exec tar --create --gzip --no-recursion --directory / -- " + " ".join(p.lstrip("/") for p in paths))
    )
