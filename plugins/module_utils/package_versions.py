"""Versions of packages, and which packages belong together by them: the same for dpkg and rpm."""

import fnmatch


def upstream(version):
    """ "580.173.02" of "1:580.173.02-1", without epoch and revision."""
    return version.split(":", 1)[-1].rsplit("-", 1)[0]


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
