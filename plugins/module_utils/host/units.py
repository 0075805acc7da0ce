"""Units of systemd, and whether their processes run with older files than those on the disk."""

import os
import time

from ansible.module_utils.host.command import Command
from ansible.module_utils.host.files import read, written_after

PROC = "/proc"
TIMEOUT_S = 10
PROPERTIES = ("ActiveState", "UnitFileState", "MainPID")
# What may be declared of a unit: the property and the values that fulfil it.
STATES = {
    "active": ("ActiveState", ("active", "reloading")),
    "inactive": ("ActiveState", ("inactive", "failed", "")),
    "enabled": ("UnitFileState", ("enabled", "static", "alias", "indirect", "generated")),
    "disabled": ("UnitFileState", ("disabled", "masked", "")),
    "masked": ("UnitFileState", ("masked",)),
}


def show(units, *properties):
    """The command that asks systemd for properties of units; `blocks` reads its answer."""
    return ("systemctl", "show", "--property=" + ",".join(properties), "--", *units)


def blocks(text):
    """[{property: value}] of `systemctl show`, a unit each, in the order in which they were asked for."""
    found = text.strip("\n").split("\n\n")
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in found]


def by_unit(text, units):
    """{unit: properties}; {} where systemd answers for other units."""
    found = blocks(text)
    return dict(zip(units, found)) if len(found) == len(units) else {}


def by_id(text):
    """{unit: properties} by the property Id, which must be among those that were asked for."""
    return {block["Id"]: block for block in blocks(text) if block.get("Id")}


def start(units):
    """Asks for all units at once; for `look_at`."""
    units = sorted(units)
    return units, Command(*show(units, *PROPERTIES))


def look_at(question):
    """({unit: properties}, ""), or ({}, why systemd does not say)."""
    units, command = question
    text, why = command.output(TIMEOUT_S)
    found = by_unit(text, units)
    if not why and not found:
        why = "systemctl answers for other units than it was asked for"
    return ({}, why) if why else (found, "")


def compare(declared, seen):
    """(thing, how) of each unit that is not as declared."""
    found, why = seen
    if why:
        yield "units", why
        return
    for unit, states in declared.items():
        for state in states:
            key, right = STATES[state]
            value = found[unit].get(key, "")
            if value not in right:
                yield f"unit {unit}", f"is {value or 'not there'} instead of {state}"


def is_active(seen):
    return seen.get("ActiveState") == "active"


def is_enabled(seen):
    return seen.get("UnitFileState") == "enabled"


def is_older(seen, paths):
    """Whether a unit's process was started before one of the files was written; seen: its MainPID."""
    moment = started(seen.get("MainPID", "0"))
    return bool(moment and written_after(paths, moment))


def last_start(seen):
    """When a unit's program was started last, in seconds since 1970; None if never. seen: ExecMainStartTimestampMonotonic."""
    since_boot = int(seen.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
    return time.time() - time.monotonic() + since_boot if since_boot else None


def compare_reads(declared, seen, moment_of):
    """(thing, how) of each unit that read a file before it was written; moment_of: started or reloaded."""
    found, why = seen
    if why:
        yield "units", why
        return
    for unit, paths in declared.items():
        pid = found[unit].get("MainPID", "0")
        moment = moment_of(pid) if pid != "0" else None
        for path in written_after(paths, moment) if moment else ():
            yield f"unit {unit}", f"runs with an older {path}"


def started(pid):
    """When a process started, in seconds since 1970; None if it is gone."""
    text = read(f"{PROC}/{pid}/stat")
    if not text:
        return None
    ago = time.clock_gettime(time.CLOCK_BOOTTIME) - int(text.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - ago


def reloaded(pid):
    """When the newest child of a process started: a reload makes new ones."""
    children = read(f"{PROC}/{pid}/task/{pid}/children").split()
    return max(filter(None, [started(process) for process in [pid, *children]]), default=None)
