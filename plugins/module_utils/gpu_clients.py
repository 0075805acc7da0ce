"""Who has /dev/nvidia* open, the units and containers those processes belong to, and how to stop them."""

import glob
import os
import re

from ansible.module_utils.nvidia_host import read
from ansible.module_utils.outcome import last_line, run

DEVICE = re.compile(r"^/dev/nvidia(\d+|ctl|-uvm|-modeset|-caps)")
CONTAINER = re.compile(r"^(?:docker-)?([0-9a-f]{64})(?:\.scope)?$")
# They use the driver for others, and stay stopped unless they are started again.
DAEMONS = (
    "nvidia-persistenced.service",
    "nvidia-fabricmanager.service",
    "nvidia-dcgm.service",
    "nvidia-imex.service",
)
STOP_SECONDS = 1860  # the longest that a serving Engine may take to finish its streams, and a little more


def users(proc="/proc"):
    """{process id: program} of the processes that have a GPU device open."""
    found = {}
    for link in glob.glob(os.path.join(proc, "[0-9]*/fd/*")):
        try:
            target = os.readlink(link)
        except OSError:
            continue  # the process or the descriptor is gone
        if DEVICE.match(target):
            pid = link.split("/")[-3]
            found[pid] = read(os.path.join(proc, pid, "comm"))
    return found


def owner(cgroup):
    """("container", id) or ("unit", name) that a process with this /proc/PID/cgroup belongs to, or ("", "").

    The innermost part of the path that names one counts. A Quadlet container runs inside its unit's cgroup,
    so stopping the unit is right for it.
    """
    for line in cgroup.splitlines():
        for part in reversed(line.split(":", 2)[-1].split("/")):
            container = CONTAINER.match(part)
            if container:
                return "container", container.group(1)
            if part.endswith(".service"):
                return "unit", part
    return "", ""


def clients(proc="/proc"):
    """(containers, units, other programs) that use a GPU; each a sorted list of names.

    Other programs are those that nobody could start again: of no unit, or in a container of another engine.
    """
    containers, units, others = set(), set(), set()
    for pid, program in users(proc).items():
        kind, name = owner(read(os.path.join(proc, pid, "cgroup")))
        if kind == "unit":
            units.add(name)
        elif kind == "container" and name in docker_containers():
            containers.add(name)
        else:
            others.add(f"{program} (pid {pid})")
    return sorted(containers), sorted(units), sorted(others)


def docker_containers():
    """Ids of the containers that Docker runs."""
    rc, out, _err = run(["docker", "ps", "--quiet", "--no-trunc"])
    return out.split() if rc == 0 else []


def active(units):
    """Those of the units that are running."""
    return [unit for unit in units if run(["systemctl", "is-active", "--quiet", unit])[0] == 0]


def stop(containers, units):
    """Stops them; returns "" or what could not be stopped."""
    for argv in ([["docker", "stop", *containers]] if containers else []) + (
        [["systemctl", "stop", *units]] if units else []
    ):
        rc, out, err = run(argv, timeout=STOP_SECONDS)
        if rc != 0:
            return "{}: {}".format(" ".join(argv), last_line(err) or last_line(out))
    return ""


def start(containers, units):
    """Starts them again; returns "" or what could not be started."""
    for argv in ([["systemctl", "start", *units]] if units else []) + (
        [["docker", "start", *containers]] if containers else []
    ):
        rc, out, err = run(argv, timeout=900)
        if rc != 0:
            return "{}: {}".format(" ".join(argv), last_line(err) or last_line(out))
    return ""
