"""pyinfra in an environment of its own, with the same questions as operations."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

from bench import labs
from bench.deployment import Deployment
from bench.measure import BenchError, Cost, run
from bench.peers import managed
from bench.world import CACHE, World

HERE = Path(__file__).parent
_COUNT = r"(-|\d+(?: \([^)]*\))?)"  # such as `-`, `2`, `1 (bench-gpu2)`
_CHANGES = re.compile(rf"(?m)^ {{4}}(\S.*?) {{2,}}{_COUNT} +{_COUNT}\s*$")


def install(world: World) -> Path:
    """The program; its environment is made on first use and when its pins change."""
    place = CACHE / "pyinfra"
    pins = HERE / "requirements.txt"
    mark = place / "pins.sha256"
    desired = hashlib.sha256(pins.read_bytes()).hexdigest()
    if not (mark.exists() and mark.read_text() == desired):
        world.say("installing pyinfra in .cache/bench/pyinfra")
        _quietly(sys.executable, "-m", "venv", "--clear", str(place))
        pip = [str(place / "bin/python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        _quietly(*pip, "--no-deps", "--require-hashes", "--requirement", str(pins))
        mark.write_text(desired)
    return place / "bin/pyinfra"


def _quietly(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{' '.join(command)[:200]} ended with {done.returncode}: {done.stderr[-1000:]}")


def prepare(deployment: Deployment) -> Path:
    """What pyinfra compares with: each host's files as they are on the right server, and versions."""
    folder = CACHE / "peer"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    hosts = {}
    for host in deployment.endpoints():
        files = folder / "files" / host.name
        files.mkdir(parents=True, exist_ok=True, mode=0o700)
        tar = files.with_suffix(".tar.gz")
        labs.payload(host.name, managed.FILES, tar)
        _quietly("tar", "--extract", "--gzip", "--file", str(tar), "--directory", str(files))
        hosts[host.name] = {"address": host.address, "files": str(files), **_facts(host.name)}
    settings = {
        "user": deployment.setting("ansible_user"),
        "key": deployment.setting("ansible_ssh_private_key_file"),
        "known_hosts": re.search(r"UserKnownHostsFile=(\S+)", " ".join(deployment.ssh())).group(1),  # type: ignore[union-attr]
        "hosts": hosts,
        "managed": {
            name: getattr(managed, name) for name in ("FILES", "PACKAGES", "UNITS", "CONTAINERS", "SIZES", "STATUS")
        },
    }
    path = folder / "settings.json"
    path.write_text(json.dumps(settings))
    return path


def _facts(server: str) -> dict[str, object]:
    packages = labs.sh(server, "dpkg-query -W -f '${Package} ${Version}\\n' " + " ".join(managed.PACKAGES)).decode()
    modes = labs.sh(server, "stat -c '%n %a' " + " ".join(managed.FILES)).decode()
    models = labs.sh(server, managed.SIZES).decode()
    return {
        "packages": dict(line.split(" ") for line in packages.splitlines()),
        "modes": dict(line.split(" ") for line in modes.splitlines()),
        "models": dict(line.split(" ") for line in models.splitlines()),
        "held": labs.sh(server, "apt-mark showhold").decode().split(),
        "driver": labs.sh(server, "cat /sys/module/nvidia/version").decode().strip(),
    }


def ask(program: Path, settings: Path, parallel: int) -> Cost:
    """One dry run: it connects, reads facts, compares, and proposes no change."""
    command = [program, "--dry", "--parallel", str(parallel), HERE / "pyinfra_hosts.py", HERE / "pyinfra_deploy.py"]
    cost = run(command, environment={"BENCH_PEER": str(settings)})
    unlike = proposed(cost.stderr)
    if unlike is None or unlike:
        raise BenchError(f"pyinfra does not find the servers right: {unlike or cost.stderr[-1000:]}")
    return cost


def proposed(stderr: str) -> list[str] | None:
    """The operations that would change something; None when pyinfra has not come as far as to say so."""
    rows = _CHANGES.findall(stderr)
    return [name for name, *numbers in rows if numbers != ["-", "-"]] if rows else None
