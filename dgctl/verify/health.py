"""The doctor as verify asks it: every check of a host in one round trip, for those that verify has not itself."""

from __future__ import annotations

import json
import shlex
import time
from functools import cache
from typing import Any

from testinfra.host import Host

from dgctl import content
from dgctl.content import bundle, drivers

TABLES = ("gpus", "generations", "branches", "nvswitch", "cdi")


def checks() -> list[str]:
    """The doctor's checks that verify has none of its own for, in their order."""
    return [check.name for check in content.utility("doctor.doctor").CHECKS if not check.verify]


def concerns(name: str, engine: bool) -> bool:
    """Whether a check concerns a host with an Engine, or without one."""
    found = content.utility("doctor.doctor")
    return any(check.name == name and found.concerns(check, engine) for check in found.CHECKS)


def ask(host: Host, name: str, desired: dict[str, Any], engine: bool) -> dict[str, dict[str, str]]:
    """{check: finding} of the doctor's on a host. Raises ValueError when it says nothing."""
    request = json.dumps(request_for(name, desired, engine) | {"controller_time": time.time()})
    python = bundle.interpreter(desired["ansible_python_interpreter"])
    text = bundle.stdin(bundle.program(content.utilities(), "doctor.doctor"), request)
    reported = host.run(shlex.join([python, "-IS", "-c", bundle.BOOT]), stdin=text)
    mark = content.utility("doctor.doctor").MARK
    for line in reported.stdout.splitlines():
        if line.startswith(mark):
            return {found["check"]: found for found in json.loads(line.removeprefix(mark))}
    raise ValueError(" ".join(reported.stderr.split())[-300:] or f"exit {reported.rc}")


def request_for(name: str, desired: dict[str, Any], engine: bool) -> dict[str, Any]:
    """What host_doctor's parameters are in playbooks/doctor.yml."""
    return {
        "host": name,
        "gpu": engine,
        "engine": desired["deepgram_container_engine"] or "docker",
        "tables": _tables() | {"gpus": _tables()["gpus"] | (desired["preflight_gpus_extra"] or {})},
        "driver_source": desired["nvidia_driver_source"] or "nvidia",
        "gpu_count": desired["preflight_gpu_count"],
        "hold": desired["nvidia_driver_hold"] is not False,
        "persistence": desired["nvidia_driver_persistence"] is not False,
        "lock_patience_s": desired["nvidia_driver_lock_timeout_s"] or 600,
        "places": [desired["deepgram_models_dir"] or "/var/lib/deepgram/models"],
        "deep": False,
    }


@cache
def _tables() -> dict[str, Any]:
    found = drivers.tables(content.root()) | content.tables(content.root(), "cdi")
    return {name: found[f"_platform_{name}"] for name in TABLES}
