"""The state of packages as rpm has it, versionlock's list, and what a dnf that was killed left behind."""

import fcntl
import os
import re
import sqlite3

from ansible.module_utils.outcome import run

FORMAT = "%{NAME}\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\t%{ARCH}\n"
LOCKLIST = "/etc/dnf/plugins/versionlock.list"
HISTORY = "/var/lib/dnf/history.sqlite"
# rpm's own lock, where EL 8 and where EL 9 and later keep it.
LOCKS = ("/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock")
# Of these dnf keeps several versions side by side.
SEVERAL = re.compile(r"kernel(-.*)?|gpg-pubkey|installonlypkg.*")
LOCK_LINE = re.compile(r"(?P<name>[^#!\s].*)-(?P<version>(?:\d+:)?[^-\s]+-[^-\s]+)\.(?:\*|\w+)")
UNFINISHED = """
    SELECT rpm.name, rpm.epoch || ':' || rpm.version || '-' || rpm.release FROM trans_item
    JOIN rpm ON rpm.item_id = trans_item.item_id
    WHERE trans_item.trans_id = (SELECT max(id) FROM trans) AND (SELECT dt_end FROM trans ORDER BY id DESC LIMIT 1) IS NULL
"""


def packages(locklist=None):
    """{name: {version, versions, held, status}} of what is installed; a version has its epoch where that is not 0."""
    locked = locks(locklist)
    known = {}
    _rc, out, _err = run(["rpm", "-qa", "--qf", FORMAT])
    for line in out.splitlines():
        name, version, arch = line.split("\t")
        one = known.setdefault(name, {"versions": [], "archs": [], "held": False, "status": "installed"})
        one["versions"].append(plain(version))
        one["archs"].append(arch)
        one["version"] = one["versions"][-1]
        one["held"] = one["version"] in locked.get(name, ())
    return known


def installed(known):
    """{name: version} of what is installed."""
    return {name: package["version"] for name, package in known.items()}


def plain(version):
    """The version without an epoch of 0."""
    return version[2:] if version.startswith("0:") else version


def locks(locklist=None):
    """{name: [versions]} that versionlock keeps."""
    found = {}
    for line in _lines(locklist or LOCKLIST):
        match = LOCK_LINE.fullmatch(line.strip())
        if match:
            found.setdefault(match["name"], []).append(plain(match["version"]))
    return found


def locklist_with(add, drop, locklist=None):
    """Text of the list with locks on add ({name: version}) and none on drop; other lines stay as they are."""
    kept = []
    for line in _lines(locklist or LOCKLIST):
        match = LOCK_LINE.fullmatch(line.strip())
        if not (match and (match["name"] in drop or match["name"] in add)):
            kept.append(line)
    added = [f"{name}-{version if ':' in version else '0:' + version}.*" for name, version in sorted(add.items())]
    return "".join(line + "\n" for line in kept + added)


def duplicates(known):
    """Names of packages of which two versions are installed that cannot live side by side."""
    return sorted(
        name
        for name, package in known.items()
        if not SEVERAL.fullmatch(name) and len(set(package["archs"])) < len(package["archs"])
    )


def half_done(known, history=None):
    """Packages that the last dnf, which never ended, had put in place: their scripts may not have run."""
    try:
        connection = sqlite3.connect(f"file:{history or HISTORY}?mode=ro", uri=True)
        rows = connection.execute(UNFINISHED).fetchall()
        connection.close()
    except sqlite3.Error:
        return []
    return sorted({name for name, version in rows if plain(version) in known.get(name, {"versions": []})["versions"]})


def rpm_at_work(locks=LOCKS):
    """Does a program hold rpm's lock for writing?"""
    for path in locks:
        try:
            with open(path, "r+b") as stream:
                fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            continue
        except OSError:
            return True
    return False


def _lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as stream:
        return stream.read().splitlines()
