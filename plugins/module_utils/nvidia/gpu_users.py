"""Which processes have /dev/nvidia* open, and the units and containers that they belong to.

Part of the look at a host, which is sent there as source: only the standard library, and what has the same prefix.
"""

import glob
import os
import re

from ansible.module_utils.host.files import read

DEVICE = re.compile(r"^/dev/nvidia(\d+|ctl|-uvm|-modeset|-caps)")
CONTAINERS = (
    ("docker", re.compile(r"^(?:docker-)?([0-9a-f]{64})(?:\.scope)?$")),
    ("podman", re.compile(r"^libpod-([0-9a-f]{64})(?:\.scope)?$")),
)


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
    """("docker" or "podman", id) or ("unit", name) that a process with this /proc/PID/cgroup belongs to, or ("", slice).

    The innermost part of the path that names one counts. A Quadlet container runs inside its unit's cgroup,
    so stopping the unit is right for it.
    """
    last = ""
    for line in cgroup.splitlines():
        parts = line.split(":", 2)[-1].split("/")
        last = last or parts[-1]
        for part in reversed(parts):
            for engine, pattern in CONTAINERS:
                container = pattern.match(part)
                if container:
                    return engine, container.group(1)
            if part.endswith(".service"):
                return "unit", part
    return "", last


def keepers(proc="/proc"):
    """Programs that use a GPU and that nobody could stop and start again, as "python (pid 7, of session-3.scope)"."""
    found = []
    for pid, program in users(proc).items():
        kind, name = owner(read(os.path.join(proc, pid, "cgroup")))
        if not kind and not program.startswith("nvidia-cuda-mps"):
            found.append(named(pid, program, name))
    return sorted(found)


def named(pid, program, place):
    """A program as people find it again."""
    return f"{program} (pid {pid}{f', of {place}' if place else ''})"
