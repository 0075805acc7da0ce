"""Fabric Manager on a host with NVSwitches: its unit, its version, and whether the GPUs have joined the fabric."""

import os
import re

from ansible.module_utils.host.outcome import last_line, run
from ansible.module_utils.host.systemd import properties
from ansible.module_utils.host.units import last_start
from ansible.module_utils.nvidia.host import VERSION

UNIT = "nvidia-fabricmanager.service"
PROGRAM = "/usr/bin/nv-fabricmanager"
FIELDS = "pci.bus_id,fabric.state,fabric.status"
JOINED = ("Completed", "Success")


def unit():
    """What systemd says about the unit."""
    return properties(UNIT, "ActiveState", "UnitFileState", "NeedDaemonReload", "ExecMainStartTimestampMonotonic")


def version():
    """Version of the installed Fabric Manager; "" where it is not installed or does not say."""
    _rc, out, err = run([PROGRAM, "--version"])
    found = re.search(r"\b" + VERSION + r"\b", out + err)
    return found.group(1) if found else ""


def outdated(seen, program=PROGRAM):
    """Was the program replaced after the daemon that runs had been started?"""
    moment = last_start(seen)
    if seen.get("ActiveState") != "active" or not moment or not os.path.exists(program):
        return False
    return os.stat(program).st_ctime > moment


def states():
    """({PCI address: (state, status)}, ""), or ({}, why nvidia-smi does not say)."""
    rc, out, err = run(["nvidia-smi", "--query-gpu=" + FIELDS, "--format=csv,noheader"], 60)
    rows = [[cell.strip() for cell in line.split(",")] for line in out.splitlines() if line.strip()]
    if rc != 0 or any(len(row) != 3 for row in rows):
        return {}, last_line(out) or last_line(err) or f"nvidia-smi ended with status {rc}"
    return {address: (state, status) for address, state, status in rows}, ""


def missing(driver, has_state):
    """What the proof still lacks, in words; "" once it holds.

    driver: the version that Fabric Manager must have; has_state: nvidia-smi tells the state of these GPUs.
    """
    now, reported = unit(), version()
    if reported != driver:
        return f"Fabric Manager is {reported or 'none'}, and the driver {driver}"
    if now.get("ActiveState") != "active":
        return "{} is {}".format(UNIT, now.get("ActiveState") or "unknown")
    if not has_state:
        return ""
    seen, why = states()
    waiting = [f"{address} {' '.join(state)}" for address, state in sorted(seen.items()) if state != JOINED]
    return why or ("GPUs not in the fabric: " + ", ".join(waiting) if waiting or not seen else "")
