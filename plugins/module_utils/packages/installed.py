"""Packages, read from dpkg's own file, for one read costs less than any program; on rpm's systems asked of rpm."""

import os

from ansible.module_utils.packages import families
from ansible.module_utils.packages.rpm import query as rpm_query

STATUS = "/var/lib/dpkg/status"
UPDATES = "/var/lib/dpkg/updates"
INTERRUPTED = ""  # no package's name: dnf was killed at its work

STARTS = {"apt": lambda: None, "dnf": lambda: rpm_query.start()}


def start():
    """Begins what takes long; for `look_at`."""
    return STARTS[families.here().name]()


def look_at(names, question=None):
    """{name: {version, held, status}} of those that are known; of two architectures the installed one counts."""
    if question:
        return _of_rpm(names, rpm_query.look_at(question))
    with open(STATUS, "rb") as stream:
        text = b"\n" + stream.read()
    known = {}
    for name in names:
        for package in _entries(text, name):
            if name not in known or package["status"] == "installed":
                known[name] = package
    return known


def _of_rpm(names, known):
    desired = {name: known[name] for name in names if name in known}
    found = {name: {key: package[key] for key in ("version", "held", "status")} for name, package in desired.items()}
    return {**found, **({INTERRUPTED: {}} if rpm_query.half_done(known) else {})}


def interrupted():
    """Whether dpkg is at work, or was killed at it: its file is not the last word then."""
    return os.path.isdir(UPDATES) and bool(os.listdir(UPDATES))


def compare(recorded, known):
    """(thing, how) of each package that is another than recorded."""
    for name, was in recorded.items():
        now = known.get(name, {})
        if now.get("status", "config-files") == "config-files":
            yield f"package {name}", "is not installed"
        elif now["status"] != "installed":
            yield f"package {name}", f"is {now['status']}"
        elif not was:
            yield f"package {name}", "was not installed when the role ended"
        elif was["version"] != now["version"]:
            yield f"package {name}", f"version {now['version']} instead of {was['version']}"
        elif was["held"] and not now["held"]:
            yield f"package {name}", "is no longer held"
    if interrupted():
        yield "packages", "dpkg is at work, or was interrupted"
    if INTERRUPTED in known:
        yield "packages", "dnf is at work, or was interrupted"


def _entries(text, name):
    start = 0
    while True:
        start = text.find(b"\nPackage: %s\n" % name.encode(), start)
        if start < 0:
            return
        end = text.find(b"\n\n", start)
        lines = text[start : end if end >= 0 else None].decode("utf-8", "replace").splitlines()
        fields = dict(line.partition(": ")[::2] for line in lines)
        want, _error, status = fields.get("Status", "? ? ?").split()
        if status != "not-installed":
            yield {"version": fields.get("Version", ""), "held": want == "hold", "status": status}
        start += 1
