"""Programs the lab needs on this machine, installed from its own package manager after saying so."""

import os
import shutil

from lab.shell import LabError, run, say

# program -> Debian package that has it
PROGRAMS = {
    "docker": "docker.io",
    "dockerd": "docker.io",
    "mmdebstrap": "mmdebstrap",
    "ssh-keygen": "openssh-client",
    "ssh": "openssh-client",
    "iptables": "iptables",
}


def require(*programs: str) -> None:
    """Installs the packages of those programs that are missing. LabError where there is no apt-get."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted({PROGRAMS[name] for name in programs if not shutil.which(name, path=path)})
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise LabError(f"Missing on this machine: {', '.join(missing)}.", "Install them, then run this again.")
    say(f"Installing on this machine with apt-get: {' '.join(missing)}")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    run("apt-get", "update", "-q")
    run("apt-get", "install", "-q", "-y", "--no-install-recommends", *missing)
