"""What another source of the NVIDIA driver, or of the toolkit, left on a host: an installer's files, sources, packages.

Everything here only reads. A leftover is a dict {kind, what, fix} with `paths` of sources, or `names` of packages.
"""

import glob
import os
import re

from ansible.module_utils.host.outcome import run
from ansible.module_utils.packages import families
from ansible.module_utils.packages import manager as packages_manager

# Where the roles name their repositories.
OURS = (
    "/etc/apt/sources.list.d/nvidia-driver.sources",
    "/etc/apt/sources.list.d/nvidia-container-toolkit.sources",
    "/etc/yum.repos.d/nvidia-driver.repo",
    "/etc/yum.repos.d/nvidia-container-toolkit.repo",
)
RUN_FILES = ("/usr/bin/nvidia-uninstall", "/usr/bin/nvidia-installer")
SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources")
REPOSITORIES = ("/etc/yum.repos.d/*.repo",)
# Whose addresses two entries may not name with two keys: apt stops at all of its work then.
ADDRESSES = re.compile(
    r"https?://(developer\.download\.nvidia\.com/compute/cuda/repos"
    r"|nvidia\.github\.io/(libnvidia-container|nvidia-docker|nvidia-container-runtime))"
)
DRIVER = re.compile(
    r"^(nvidia-(driver|kernel|dkms|headless|utils|compute|firmware|open|settings|smi|alternative|persistenced|modprobe)"
    r"|libnvidia-(?!container)|libcuda1|libnvcuvid1|cuda-drivers|linux-modules-nvidia|xserver-xorg-video-nvidia"
    r"|firmware-nvidia|[ak]mod-nvidia|xorg-x11-drv-nvidia|nvidia-x11-drv)"
)
# Who made a package, as it says itself: by that packages of the same name are told apart.
MAKERS = {
    "nvidia": re.compile(r"nvidia", re.IGNORECASE),
    "distribution": re.compile(r"debian|ubuntu|canonical", re.IGNORECASE),
    "elsewhere": re.compile(r"rpm ?fusion|elrepo|launchpad|negativo17", re.IGNORECASE),
}
ALLOW = "or set nvidia_driver_remove_other_sources: true and let dgctl do it"


def find(source, addresses=()):
    """The leftovers. source: nvidia or distribution, whose packages belong here.

    addresses: what else our sources may be called, as a mirror's address.
    """
    return [*of_run(), *of_sources(addresses), *of_packages(source)]


def of_run(paths=RUN_FILES):
    """A driver from NVIDIA's .run file: it and one from packages overwrite each other's files."""
    left = [path for path in paths if os.path.exists(path) and not packages_manager.owner(path)]
    if not left:
        return []
    fix = f"Remove it: {left[0]} --silent, then run again; {ALLOW}."
    return [{"kind": "run", "what": f"a driver from NVIDIA's .run installer ({left[0]})", "fix": fix, "paths": left}]


def of_sources(addresses=(), patterns=SOURCES + REPOSITORIES, ours=OURS):
    """Other entries for repositories that we have an entry for, or that bring another driver."""
    found = []
    paths = [path for pattern in patterns for path in sorted(glob.glob(pattern)) if path not in ours]
    for path in paths:
        lines = [line for line in _lines(path) if names_one(line, addresses)]
        if lines:
            owner = packages_manager.owner(path)
            way = f"{_remover()} {owner}" if owner else f"take the entry out of {path}"
            what = f"{path} names {_address(lines[0])} too: apt stops at two keys for one repository"
            fix = f"Take it away: {way}, then run again; {ALLOW}."
            found.append(
                {"kind": "source", "what": what, "fix": fix, "paths": [path], "names": [owner] if owner else []}
            )
    return found


def names_one(line, addresses=()):
    """Whether a line names one of the repositories that we have an entry for."""
    return bool(ADDRESSES.search(line)) or any(each.rstrip("/") in line for each in addresses if each)


def of_packages(source):
    """Driver packages that another maker than that of our source has made."""
    others = [kind for kind in MAKERS if kind != source]
    names = sorted(name for name, maker in installed() if DRIVER.match(name) and _maker(maker) in others)
    if not names:
        return []
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    fix = f"Remove them: {_remover()} {' '.join(names)}; {ALLOW}."
    return [{"kind": "packages", "what": f"driver packages of another source: {shown}", "fix": fix, "names": names}]


def installed():
    """[(name, who made it)] of all installed packages, as dpkg or rpm has it."""
    rc, out, _err = run(["dpkg-query", "-W", "-f", "${db:Status-Status}\t${Package}\t${Maintainer}\n"])
    if rc != 0:
        rc, out, _err = run(["rpm", "-qa", "--qf", "installed\t%{NAME}\t%{VENDOR}\n"])
    rows = [line.split("\t") for line in out.splitlines()] if rc == 0 else []
    return [(name, maker) for status, name, maker in rows if status == "installed"]


def _maker(reported):
    """By the address's domain where there is one: pkg-nvidia-devel@lists.debian.org is Debian's."""
    domain = reported.rpartition("@")[2]
    return next((kind for kind, pattern in MAKERS.items() if pattern.search(domain)), "")


def _remover():
    return families.here().removes


def _lines(path):
    """The lines of a list of sources that count; of a deb822 or dnf file without its disabled parts."""
    with open(path, encoding="utf-8", errors="replace") as stream:
        text = stream.read()
    if path.endswith(".list"):
        parts = text.splitlines()
    else:
        parts = [part for part in re.split(r"\n\s*\n|\n(?=\[)", text) if not _disabled(part)]
    lines = [line.strip() for part in parts for line in part.splitlines()]
    return [line for line in lines if line and line[0] not in "#;"]


def _disabled(part):
    return re.search(r"^(Enabled: *no|enabled *= *0)\s*$", part, re.MULTILINE | re.IGNORECASE) is not None


def _address(line):
    found = re.search(r"https?://\S+", line)
    return found.group(0) if found else line
