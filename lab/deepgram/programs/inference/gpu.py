"""Looks for GPUs as a CUDA program meets them: libcuda.so.1, device nodes that open, nvidia-smi, driver floor."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

LIBRARY = "libcuda.so.1"
SYSTEM_NOT_READY = 802


def need_libcuda(program: str) -> None:
    """Ends the program as the dynamic loader does when the driver's library was not injected into the container."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        print(
            f"/bin/{program}: error while loading shared libraries: {LIBRARY}: "
            "cannot open shared object file: No such file or directory",
            file=sys.stderr,
            flush=True,
        )
        raise SystemExit(127) from None


def _openable(node: Path) -> bool:
    try:
        os.close(os.open(node, os.O_RDWR | os.O_CLOEXEC))
    except OSError:  # after a daemon-reload the node is there and the device cgroup refuses it
        return False
    return True


def _nodes() -> list[Path]:
    directory = Path(os.environ.get("STANDIN_DEV", "/dev"))
    return [node for node in sorted(directory.glob("nvidia[0-9]*")) if re.fullmatch(r"nvidia\d+", node.name)]


def not_ready() -> bool:
    """Whether CUDA waits for Fabric Manager, as on a board whose NVLink switches nobody has configured."""
    try:
        return ctypes.CDLL(LIBRARY).cuInit(0) == SYSTEM_NOT_READY
    except (OSError, AttributeError):
        return False


def openable() -> int:
    """How many GPUs' device nodes can be opened."""
    return sum(map(_openable, _nodes()))


def _driver(query: str) -> list[str]:
    try:
        done = subprocess.run(["nvidia-smi", *query.split()], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def visible(driver_floor: str = "0") -> tuple[list[int], str]:
    """Indices of the GPUs that CUDA would use, and if there is none: why."""
    listed = [line for line in _driver("-L") if re.match(r"GPU \d+:", line)]
    if not listed:
        return [], "no CUDA-capable device is detected"
    if openable() < len(listed):
        return [], "the device nodes cannot be opened"
    if not_ready():
        return [], "CUDA error 802: system not yet initialized"
    version = next(iter(_driver("--query-gpu=driver_version --format=csv,noheader")), "")
    if version and _version(version) < _version(driver_floor):
        return [], f"CUDA driver version {version} is insufficient, {driver_floor} or newer is needed"
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return list(range(len(listed))), ""
    return _chosen(chosen, listed), "CUDA_VISIBLE_DEVICES hides every device"


def _chosen(desired: str, listed: list[str]) -> list[int]:
    """CUDA's rule: indices or UUID prefixes; the first one that names no device hides it and all after it."""
    found = []
    for one in filter(None, (part.strip() for part in desired.split(","))):
        by_uuid = [index for index, line in enumerate(listed) if one.startswith("GPU-") and f"UUID: {one}" in line]
        if one.isdigit() and int(one) < len(listed):
            by_uuid = [int(one)]
        if not by_uuid:
            break
        found.append(by_uuid[0])
    return found
