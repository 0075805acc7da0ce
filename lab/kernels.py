"""Kernels of the simulated servers: the running one, which is this machine's, and a newer one that can be installed."""

import re
from pathlib import Path

from lab.home import Home
from lab.machine import KERNEL
from lab.nvidia import elf

PACKAGES = Path(__file__).with_name("server") / "packages"
# Other drivers for the same GPUs. They claim no PCI device by themselves, so that only a fault or a person loads them.
OTHER_DRIVERS = {"nouveau": "nouveau/nouveau.ko", "nova_core": "nova/nova_core.ko"}
SOURCE = """\
# Simulated: what a mirror of the distribution would have beside its main archive.
Types: deb
URIs: https://apt.lab.test/debian13/
Suites: /
Signed-By: /usr/share/keyrings/dgctl-lab.asc
"""


def following(release: str) -> str:
    """The release of the next kernel: the last number that Debian's and Ubuntu's naming counts up is one higher."""
    abi = re.fullmatch(r"(\d+\.\d+\.0-)(\d+)(\D.*)?", release)  # 6.1.0-49-amd64, 6.8.0-90-generic
    patch = abi or re.fullmatch(r"(\d+\.\d+\.)(\d+)(.*)", release)
    if not patch:
        return release + ".1"
    head, number, tail = patch.groups()
    return f"{head}{int(number) + 1}{tail or ''}"


def files() -> dict[str, tuple[bytes, int]]:
    """What a server's image is given for its kernel and its packages: path -> (content, mode)."""
    found = {}
    for name, path in OTHER_DRIVERS.items():
        module = elf.kernel_module(name, "", "GPL", [])
        found[f"usr/lib/modules/{KERNEL}/kernel/drivers/gpu/drm/{path}"] = (module, 0o644)
    for path in sorted(PACKAGES.rglob("*")):
        if path.is_file():
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            found[f"usr/share/simulated-packages/{path.relative_to(PACKAGES)}"] = (path.read_bytes(), mode)
    return found


def source(home: Home) -> dict[str, tuple[bytes, int]]:
    """The APT source with the newer kernel, and its key."""
    key = (home.path / "apt/current/libnvidia-container/gpgkey").read_bytes()
    return {
        "etc/apt/sources.list.d/debian-simulated.sources": (SOURCE.encode(), 0o644),
        "usr/share/keyrings/dgctl-lab.asc": (key, 0o644),
    }
