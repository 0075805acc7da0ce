"""Versions of packages, and which packages belong together by them: the same for dpkg and rpm."""

import fnmatch
import re


def pinned(along, hold):
    """Names of what came along at a version that was asked for: it is meant to stay, and held where `hold` is true."""
    return [request.partition("=")[0] for request in along if "=" in request] if hold else []


def upstream(version):
    """ "580.173.02" of "1:580.173.02-1", without epoch and revision."""
    return version.split(":", 1)[-1].rsplit("-", 1)[0]


def numbers(version):
    """A version's numbers, by which versions of one package are ordered."""
    return [int(part) for part in re.findall(r"\d+", version)]


def satisfied(request, versions):
    """Is "name", "name=version" or "name=prefix*" installed?"""
    name, _, version = request.partition("=")
    have = versions.get(name)
    if have is None or not version:
        return have is not None
    return fnmatch.fnmatchcase(have, version) or fnmatch.fnmatchcase(have.split(":", 1)[-1], version)


def steps_between(before, after):
    """What happened to the packages, as steps: Inst and Remv, each with a name."""
    installed = [f"Inst {name}" for name in sorted(after) if before.get(name) != after[name]]
    return installed + [f"Remv {name}" for name in sorted(before) if name not in after]


class Family:
    """For a transaction with `params` (same_version_as, hold_also) and `names` (the wanted packages)."""

    def family(self, versions):
        """The packages that belong together: those named, or all of the leading package's upstream version."""
        lead = self.params["same_version_as"]
        if lead is None:
            return [name for name in sorted(versions) if name in self.names]
        return [
            name
            for name in sorted(versions)
            if lead in versions and upstream(versions[name]) == upstream(versions[lead])
        ]

    def to_hold(self, versions):
        """The family, and what is held beside it."""
        beside = (fnmatch.filter(versions, pattern) for pattern in self.params["hold_also"])
        return sorted(set(self.family(versions)).union(*beside))
