"""Packages that belong together because each asks for exactly one version of the other: found, and brought together again."""

import re

from ansible.module_utils.host.outcome import run
from ansible.module_utils.packages.versions import numbers

FORMAT = "${Package}\t${Depends}\t${Pre-Depends}\n"
# Packages of a driver, and the numbers of its releases: what has other numbers goes by its own.
COMPANION, RELEASE = (
    re.compile(r"nvidia-|libnvidia-|libcuda|firmware-nvidia-|kmod-nvidia-"),
    re.compile(r"(\d+:)?\d{3}\.\d"),
)
EXACT = re.compile(r"([a-z0-9][a-z0-9+.-]+)(?::\w+)? \(= ([^)]+)\)")


def desired_together(lead, version):
    """{name: whether nothing else would do} that `lead` asks for in exactly this version, directly or through another."""
    asks = _asks()
    found, waiting = {}, [(lead, True)]
    while waiting:
        name, alone = waiting.pop()
        if name not in found:
            found[name] = alone
            waiting += [
                (other, only) for other, exact, only in asks.get(name, ()) if exact in (version, _bare(version))
            ]
    return found


def strays(lead, versions):
    """{name: the version that it should have} of packages that have left the lead's family, or are gone.

    versions: {name: version} of what is installed. A package that is upgraded past its hold takes others along or leaves
    them behind; the lead's own version is the one that was asked for.
    """
    if lead not in versions:
        return {}
    version = versions[lead]
    members = desired_together(lead, version)
    return {
        name: version for name in sorted(members) if versions.get(name, "" if members[name] else version) != version
    }


def moves(lead, versions, fits, offers):
    """["name=version"] that bring the family together again; [] where it is.

    To the lead's version; where no source has that any more, all of it to the newest version among those that left, if that
    `fits` (a version) what is wanted. offers(name, version): whether a source has it.
    """
    left = strays(lead, versions)
    if not left or all(offers(name, version) for name, version in left.items()):
        left.update(companions(lead, versions, offers))
        return [f"{name}={version}" for name, version in left.items()]
    newest = max((versions.get(name, "") for name in left), key=numbers)
    if not (newest and fits(newest) and offers(lead, newest)):
        return [f"{name}={version}" for name, version in left.items()]
    members = desired_together(lead, versions[lead])
    return [f"{name}={newest}" for name in sorted(members) if name in {**versions, **left}]


def companions(lead, versions, offers):
    """{name: the version that it should have} of packages that nothing asks for in one version, and that come with it.

    A source that has a package in the lead's own version gives both the same number: another one is of another release.
    """
    version = versions.get(lead, "")
    alike = [name for name, one in versions.items() if COMPANION.match(name) and RELEASE.match(one) and one != version]
    return {name: version for name in sorted(alike) if offers(name, version)}


def offers(name, version):
    """Whether a source of the host has this version."""
    _rc, out, _err = run(["apt-cache", "madison", name])
    return any(version == row.split("|")[1].strip() for row in out.splitlines() if row.count("|") >= 2)


def _asks():
    """{name: [(name, version, whether nothing else would do)]} of the exact versions that installed packages ask for."""
    _rc, out, _err = run(["dpkg-query", "-W", "-f", FORMAT])
    found = {}
    for line in out.splitlines():
        name, _, needs = line.partition("\t")
        clauses = needs.replace("\t", ",").split(",")
        found[name] = [
            (other, exact, "|" not in clause) for clause in clauses for other, exact in EXACT.findall(clause)
        ]
    return found


def _bare(version):
    return version.split(":", 1)[-1]
