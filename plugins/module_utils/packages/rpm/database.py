"""The state of packages as rpm has it, versionlock's list, and what a dnf that was killed left behind."""

import fcntl
import re

from ansible.module_utils.host.outcome import run
from ansible.module_utils.packages.rpm import query as rpm_query
from ansible.module_utils.packages.rpm.query import LOCK_LINE, lines, locks

# rpm's own lock, where EL 8 and where EL 9 and later keep it.
LOCKS = ("/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock")
# Of these dnf keeps several versions side by side.
SEVERAL = re.compile(r"kernel(-.*)?|gpg-pubkey|installonlypkg.*")


def packages():
    """{name: {version, versions, archs, held, status}} of what is installed."""
    return rpm_query.parsed(run(list(rpm_query.QUERY))[1], locks())


def installed(known):
    """{name: version} of what is installed."""
    return {name: package["version"] for name, package in known.items()}


def locklist_with(add, drop):
    """Text of the list with locks on add ({name: version}) and none on drop; other lines stay as they are."""
    retained = []
    for line in lines(rpm_query.LOCKLIST):
        match = LOCK_LINE.fullmatch(line.strip())
        if not (match and (match["name"] in drop or match["name"] in add)):
            retained.append(line)
    added = [f"{name}-{version if ':' in version else '0:' + version}.*" for name, version in sorted(add.items())]
    return "".join(line + "\n" for line in retained + added)


def duplicates(known):
    """Names of packages of which two versions are installed that cannot live side by side."""
    return sorted(
        name
        for name, package in known.items()
        if not SEVERAL.fullmatch(name) and len(set(package["archs"])) < len(package["archs"])
    )


def at_work(paths=LOCKS):
    """Does a program hold rpm's lock for writing?"""
    for path in paths:
        try:
            with open(path, "r+b") as stream:
                fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            continue
        except OSError:
            return True
    return False
