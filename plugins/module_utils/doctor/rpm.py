"""What rpm and dnf know of a host's packages, by the same methods as doctor.dpkg.Dpkg."""

import fnmatch
import re
import sqlite3

from ansible.module_utils.packages.rpm import query as rpm_query

LOCKS = ("/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock")
CHECK = ("rpm", "-Va", "--nofiles", "--nodigest", "--nosignature", "--noscripts")
AUTOMATIC = "/etc/dnf/automatic.conf"
TIMERS = "/etc/systemd/system/timers.target.wants/dnf*automatic*.timer"
CONFIGURATION = "/etc/dnf/dnf.conf"
# Which repository each package came from, oldest first; what dnf takes away or replaces it names @System.
FROM = """
    SELECT rpm.name, rpm.epoch || ':' || rpm.version || '-' || rpm.release, repo.repoid FROM trans_item
    JOIN rpm ON rpm.item_id = trans_item.item_id JOIN repo ON repo.id = trans_item.repo_id
    WHERE repo.repoid NOT LIKE '@%' ORDER BY trans_item.id
"""


class Rpm:
    """Packages of the Red Hat family."""

    name, locks = "rpm", LOCKS
    finish = "dnf history redo last, or dnf reinstall what it names"
    install, exactly = "dnf install {}", "{}-{}"
    hold, purge = "dnf versionlock add {}", "dnf remove"
    headers = "dnf install kernel-devel-{}"

    def __init__(self, host):
        self.host = host

    def known(self):
        """{name: {version, held, status}}."""
        return self.host.once("packages", self._read)

    def _read(self):
        reported = self.host.reported("rpm")
        if not reported or reported.status != 0:  # no answer is no failure
            raise RuntimeError(reported.why if reported else "rpm was not asked")
        return rpm_query.parsed(reported.text, rpm_query.locks(self.host.path(rpm_query.LOCKLIST)))

    def version(self, name):
        return self.known().get(name, {}).get("version", "")

    def installed(self):
        return {name: one["version"] for name, one in self.known().items()}

    def half_done(self):
        """{name: what it is} of packages of a transaction that never ended."""
        names = rpm_query.half_done(self.known(), self.host.path(rpm_query.HISTORY))
        return dict.fromkeys(names, "of a transaction that never ended")

    def journal(self):
        return False

    def lacking(self):
        """Sentences on packages that miss what they depend on; None when that is not known."""
        reported = self.host.reported("rpm_check")
        if reported is None or reported.status is None:
            return None
        return [" ".join(line.split()) for line in reported.text.splitlines() if "Unsatisfied dependencies" in line]

    def owner(self, path):
        """Whether a package brought the file."""
        return self.host.programs.also("owner of " + path, "rpm", "-qf", path).status == 0

    def repositories(self):
        """{installed package: the repository that dnf had it from}; rpm's own installations are not among them."""
        try:
            connection = sqlite3.connect(f"file:{self.host.path(rpm_query.HISTORY)}?mode=ro", uri=True)
            rows = connection.execute(FROM).fetchall()
            connection.close()
        except sqlite3.Error:
            return {}
        return {name: one for name, version, one in rows if rpm_query.plain(version) == self.version(name)}

    def origins(self):
        """{installed package: {the repository}}, as doctor.dpkg.Dpkg has it."""
        return {name: {one} for name, one in self.repositories().items()}

    def nightly(self):
        """(does something upgrade packages by itself, patterns of those that it must not touch)."""
        automatic = self.host.read(AUTOMATIC)
        on = self.host.glob(TIMERS) and re.search(r"^apply_updates *= *(yes|true|1)", automatic, re.M | re.I)
        lists = re.findall(r"^exclude(?:pkgs)? *= *(.*)$", self.host.read(CONFIGURATION) + "\n" + automatic, re.M)
        barred = [one for line in lists for one in re.split(r"[ ,]+", line) if one]
        return bool(on), [fnmatch.translate(one) for one in barred]
