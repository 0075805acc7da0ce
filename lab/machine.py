"""What the lab reads off this machine: kernel, control groups, Debian mirror."""

import platform
import re
from pathlib import Path

from lab.shell import LabError

SUITE = "trixie"
OLD_PYTHON = "3.9"  # of a host whose system is older than Debian under it, and the Debian that has it
OLD_PYTHON_SUITE = "bullseye"
KERNEL = platform.release()


def unified_cgroups() -> bool:
    """True on a pure cgroup v2 machine, false on v1 and hybrid ones."""
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def require_amd64() -> None:
    if platform.machine() != "x86_64":
        raise LabError(
            f"The lab's stand-in packages are built for x86_64 only, and this machine is {platform.machine()}.",
            "Run the lab on an x86_64 machine.",
        )


def debian_sources(apt: Path = Path("/etc/apt"), release: str = SUITE) -> list[str]:
    """`deb ...` lines for a release, from the mirrors this machine's own apt uses.

    Empty on a machine that is not Debian: mmdebstrap then takes its own default.
    """
    archive = security = None
    for uri, suite in _uris(apt):
        if suite.endswith("-security") and "debian" in uri:
            security = security or uri
        elif re.fullmatch(r"(bullseye|bookworm|trixie|forky|sid|stable)", suite):
            archive = archive or uri
    if not archive:
        return []
    lines = [f"deb {archive} {release} main", f"deb {archive} {release}-updates main"]
    return lines + ([f"deb {security} {release}-security main"] if security else [])


def _uris(apt: Path) -> list[tuple[str, str]]:
    """(URI, suite) of every source with a component `main`, in both of apt's file formats."""
    found = []
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        text = path.read_text() if path.is_file() else ""
        if path.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                fields = dict(re.findall(r"(?m)^(\w[\w-]*):\s*(.*)$", stanza))
                uris, suites = fields.get("URIs", "").split(), fields.get("Suites", "").split()
                found += [(uri.rstrip("/"), suite) for uri in uris for suite in suites]
        elif path.suffix == ".list" or path.name == "sources.list":
            for uri, suite in re.findall(r"(?m)^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+.*\bmain\b", text):
                found.append((uri.rstrip("/"), suite))
    return found
