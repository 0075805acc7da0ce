"""Who has /dev/nvidia* open, the units and containers those processes belong to, and how to stop and start them."""

import os

from ansible.module_utils.host.files import read
from ansible.module_utils.host.outcome import last_line, run
from ansible.module_utils.nvidia.gpu_users import named, owner, users

# They use the driver for others, and are stopped after all clients, in this order; started in the other one.
DAEMONS = (
    "nvidia-dcgm.service",
    "nvidia-persistenced.service",
    "nvidia-gridd.service",
    "nvidia-topologyd.service",
    "nvidia-fabricmanager.service",
    "nvlsm.service",
    "nvidia-imex.service",
)
DISPLAY = "display-manager.service"  # systemd's alias of whichever there is
STOP_SECONDS = 1860  # the longest that a serving Engine may take to finish its streams, and a little more
START_SECONDS = 900


def clients(proc="/proc"):
    """Who uses a GPU: {docker, podman, units, mps, others}, each a sorted list of names.

    `others` are those that nobody could start again: of no unit, or in a container of another engine.
    """
    found = {"docker": set(), "podman": set(), "units": set(), "mps": set(), "others": set()}
    for pid, program in users(proc).items():
        kind, name = owner(read(os.path.join(proc, pid, "cgroup")))
        if kind == "unit":
            found["units"].add(name)
        elif kind and name in running(kind):
            found[kind].add(name)
        elif program.startswith("nvidia-cuda-mps"):
            found["mps"].add(program)
        else:
            found["others"].add(named(pid, program, name))
    return {kind: sorted(names) for kind, names in found.items()}


def running(engine):
    """Ids of the containers that this engine runs."""
    rc, out, _err = run([engine, "ps", "--quiet", "--no-trunc"])
    return out.split() if rc == 0 else []


def existing(engine, names):
    """Those of the containers that are there, running or not."""
    rc, out, _err = run([engine, "ps", "--all", "--quiet", "--no-trunc"]) if names else (0, "", "")
    return [name for name in names if name in out.split()] if rc == 0 else names


def active(units):
    """Those of the units that are running."""
    return [unit for unit in units if run(["systemctl", "is-active", "--quiet", unit])[0] == 0]


def stop(who):
    """Stops them, clients before the daemons they use; returns "" or what could not be stopped. `who`: as `clients`."""
    return _each(
        [[engine, "stop", *who[engine]] for engine in ("docker", "podman") if who.get(engine)]
        + _systemctl("stop", [unit for unit in who.get("units", []) if unit not in DAEMONS])
        + ([["sh", "-c", "echo quit | nvidia-cuda-mps-control"]] if who.get("mps") else [])
        + [["systemctl", "stop", unit] for unit in DAEMONS if unit in who.get("units", [])],
        STOP_SECONDS,
    )


def start(who):
    """Starts them again in the other order; returns "" or what could not be started."""
    return _each(
        [["systemctl", "start", unit] for unit in reversed(DAEMONS) if unit in who.get("units", [])]
        + ([["nvidia-cuda-mps-control", "-d"]] if who.get("mps") else [])
        + _systemctl("start", [unit for unit in who.get("units", []) if unit not in DAEMONS])
        + [[engine, "start", *who[engine]] for engine in ("docker", "podman") if who.get(engine)],
        START_SECONDS,
    )


def _systemctl(verb, units):
    return [["systemctl", verb, *units]] if units else []


def _each(commands, seconds):
    for argv in commands:
        rc, out, err = run(argv, timeout=seconds)
        if rc != 0:
            return "{}: {}".format(" ".join(argv), last_line(err) or last_line(out))
    return ""
