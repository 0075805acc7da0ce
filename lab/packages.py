"""Programs the lab needs on this machine, installed from its own package manager after saying so."""

import os
import shutil

from lab.shell import LabError, run, say, succeeds

# program -> Debian packages that may have it, the first known one is taken, and what it needs beside it
PROGRAMS = {
    "docker": ["docker-cli", "docker.io"],
    "dockerd": ["docker.io"],
    "mmdebstrap": ["mmdebstrap"],
    "ssh-keygen": ["openssh-client"],
    "iptables": ["iptables"],
    "mke2fs": ["e2fsprogs"],
    "mformat": ["mtools"],
    "dpkg-deb": ["dpkg"],
    "qemu-system-x86_64": ["qemu-system-x86"],
    "qemu-img": ["qemu-utils"],
}
BESIDE = {"mmdebstrap": ["debian-archive-keyring"]}


def require(*programs: str) -> None:
    """Installs the packages of those programs that are missing. LabError where there is no apt-get."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in programs if not shutil.which(name, path=path)]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise LabError(f"Missing on this machine: {', '.join(missing)}.", "Install them, then run this again.")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    run("apt-get", "update", "-q")
    packages = sorted({name for program in missing for name in [_package(program), *BESIDE.get(program, [])]})
    say(f"Installing on this machine with apt-get: {' '.join(packages)}")
    run("apt-get", "install", "-q", "-y", "--no-install-recommends", *packages)


def _package(program: str) -> str:
    """Debian 13 has the Docker client in a package of its own, Debian 12 and Ubuntu with the daemon."""
    *first, last = PROGRAMS[program]
    return next((name for name in first if succeeds("apt-cache", "show", name)), last)
