"""Packages as rpm has them, and the versions at which versionlock keeps some.

Part of the look at a host, which is sent there as source: only the standard library, and what has the same prefix.
"""

import os
import re
import sqlite3

from ansible.module_utils.host.command import Command

LOCKLIST = "/etc/dnf/plugins/versionlock.list"
HISTORY = "/var/lib/dnf/history.sqlite"
FORMAT = "%{NAME}\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\t%{ARCH}\n"
QUERY = ("rpm", "-qa", "--qf", FORMAT)
LOCK_LINE = re.compile(r"(?P<name>[^#!\s].*)-(?P<version>(?:\d+:)?[^-\s]+-[^-\s]+)\.(?:\*|\w+)")
# Packages of a transaction that has begun and never ended: dnf leaves 0 where the end should be.
UNFINISHED = """
    SELECT rpm.name, rpm.epoch || ':' || rpm.version || '-' || rpm.release FROM trans_item
    JOIN rpm ON rpm.item_id = trans_item.item_id
    WHERE trans_item.trans_id = (SELECT max(id) FROM trans)
    AND (SELECT coalesce(dt_end, 0) FROM trans ORDER BY id DESC LIMIT 1) = 0
"""
TIMEOUT_S = 20


def start():
    """Asks for all packages at once; for `look_at`."""
    return Command(*QUERY)


def look_at(command):
    """{name: {version, versions, archs, held, status}}; RuntimeError when rpm does not say."""
    text, why = command.output(TIMEOUT_S)
    if why:
        raise RuntimeError(why)
    return parsed(text, locks())


def parsed(text, locked):
    """What QUERY prints, as a dict by package; a version has its epoch where that is not 0."""
    known = {}
    for line in text.splitlines():
        name, version, arch = line.split("\t")
        one = known.setdefault(name, {"versions": [], "archs": [], "status": "installed"})
        one["versions"].append(plain(version))
        one["archs"].append(arch)
        one["version"] = one["versions"][-1]
        one["held"] = one["version"] in locked.get(name, ())
    return known


def plain(version):
    """The version without an epoch of 0."""
    return version[2:] if version.startswith("0:") else version


def locks(path=None):
    """{name: [versions]} that versionlock keeps."""
    found = {}
    for line in lines(path or LOCKLIST):
        match = LOCK_LINE.fullmatch(line.strip())
        if match:
            found.setdefault(match["name"], []).append(plain(match["version"]))
    return found


def lines(path):
    """A file's lines; none where there is no file."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as stream:
        return stream.read().splitlines()


def half_done(known, history=None):
    """Packages that the last dnf, which never ended, had put in place: their scripts may not have run."""
    try:
        connection = sqlite3.connect(f"file:{history or HISTORY}?mode=ro", uri=True)
        rows = connection.execute(UNFINISHED).fetchall()
        connection.close()
    except sqlite3.Error:
        return []
    return sorted({name for name, version in rows if plain(version) in known.get(name, {"versions": []})["versions"]})
