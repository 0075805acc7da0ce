"""What this machine is, and which programs were measured on it."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.peers.pyinfra_peer import HERE
from bench.world import PROJECT


def facts() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "memory_mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        "kernel": platform.release(),
        "processor": _processor(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "ansible_core": version("ansible-core"),
        "pyinfra": _pinned("pyinfra"),
        "openssh": _reported("ssh", "-V"),
        "docker": _reported("docker", "--version"),
        "commit": _reported("git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--abbrev=12"),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _pinned(package: str) -> str:
    for line in (HERE / "requirements.txt").read_text().splitlines():
        if line.startswith(f"{package}=="):
            return line.split("==")[1].split()[0]
    return ""


def _reported(*command: str) -> str:
    """What a program says of itself, on either stream."""
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip()
