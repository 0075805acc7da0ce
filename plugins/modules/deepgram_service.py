#!/usr/bin/python
"""Starts the Deepgram containers, and restarts those that run on something older than their files."""

from __future__ import annotations

DOCUMENTATION = """
module: deepgram_service
short_description: Makes the Deepgram containers run what their files say
description:
  - With Docker the containers belong to a compose project, with Podman to Quadlet units.
  - A container is recreated when its definition changed, or when a file that it reads at its start is newer than
    that start. So a run that was killed after it wrote a file is completed by the next one.
  - When all Engines of an API have to go, it is stopped first, and all finish the requests that they have. One Engine of several
    goes alone; its neighbours and their API serve on.
    A container at whose port nobody listens has none; it is killed, because one that keeps dying may miss the signal to stop.
    One that hangs is killed after O(hung_stop_s), unless the API or the Engine says that it has requests.
  - The container of a component that O(files) does not name is stopped and removed, with its directory in O(directory).
  - Containers of the other engine are stopped and removed first, with the files that define them.
  - With Docker a unit of systemd starts the containers at boot; its file is not this module's.
options:
  directory:
    description: Directory of the compose project.
    type: path
    required: true
  components:
    description: What may run here by this module, the first started first.
    type: list
    elements: str
    default: [engine, api]
  asks:
    description: By API the Engines beside it that it asks; of one that is not named, all of them.
    type: dict
    default: {}
  unit:
    description: Unit of systemd that starts the compose project at boot.
    type: str
    default: deepgram.service
  urls:
    description: By component an address on this server that answers while the component works.
    type: dict
    required: true
  files:
    description:
      - By component (C(engine), C(api); of several C(engine-NAME), C(api-GROUP)) that is to run here the files that its container
        reads when it starts.
    type: dict
    required: true
  stop_timeout_s:
    description: Seconds that a container may take to finish its requests.
    type: int
    required: true
extends_documentation_fragment:
  - containers
  - containers.hung
  - check_mode.no_diff
"""
EXAMPLES = """
- name: Run the containers
  deepgram_service:
    engine: docker
    directory: /etc/deepgram
    urls: {engine: "http://127.0.0.1:9991/metrics", api: "http://127.0.0.1:8080/v1/status"}
    files:
      engine: [/etc/deepgram/engine/engine.toml]
      api: [/etc/deepgram/api/api.toml]
    stop_timeout_s: 1800
"""
RETURN = """
started:
  description: Containers that were restarted, or in check mode would be.
  returned: success
  type: list
  elements: str
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import os
import re
import shutil
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deepgram.components import ALONE
from ansible.module_utils.deepgram.containers import CommandFailed, inspect, log_tail, secrets_in, without
from ansible.module_utils.deepgram.engines import ENGINES, installed, is_alone, is_api
from ansible.module_utils.deepgram.signatures import diagnose
from ansible.module_utils.host import lease

# What the container engine says about a start that failed; what the programs say is in deepgram_signatures.
FIXES = (
    (
        r"unresolvable CDI|CDI device|could not select device driver",
        "run `systemctl restart nvidia-cdi-refresh.service` on the server; then `nvidia-ctk cdi list` must name every "
        "device in deepgram_gpu_devices",
    ),
    (
        r"port is already allocated|address already in use|cannot bind",
        "free the port, or set deepgram_api_port, deepgram_engine_port or deepgram_metrics_port",
    ),
    (r"No such image|image not known|image \S+ not found", "run again: the image was removed while this ran"),
    (r"is not installed", "run the playbook from its start: the container engine is missing"),
)


def views(params, desired=True):
    """What runs, by component, in the order in which they start; not `desired`: of those that are not to run here."""
    names = params["components"] if desired else [*params["components"], *unwanted(params)]
    names = [name for name in dict.fromkeys(names) if (name in params["files"]) is desired]
    return {name: inspect(params["engine"], f"deepgram-{name}") for name in names}


def unwanted(params):
    """Engines and APIs that have a container here and are not to; a License Proxy and Billing are nobody's but their own."""
    own = is_alone(params["components"])
    return [] if own else [name for name in installed(params["engine"]) if name not in ALONE]


def drop(engine, params, check_mode):
    """Takes away the containers of parts that are not to run here; True when there were some."""
    there = [name for name, found in views(params, desired=False).items() if found]
    there.sort(key=is_api, reverse=True)  # an API before its Engines
    if not check_mode:
        for name in there:
            engine.drop(name)
            shutil.rmtree(os.path.join(params["directory"], name), ignore_errors=True)
    return bool(there)


def move(params, check_mode):
    """Takes the containers away from the other engine; True when they were there."""
    other = next(kind for name, kind in ENGINES.items() if name != params["engine"])(params, check_mode)
    there = other.there()
    if there and not check_mode:
        other.leave()
    return there


def work(params, check_mode):
    """(changed, names of the containers that are new, or would be)."""
    moved = move(params, check_mode)
    engine = ENGINES[params["engine"]](params, check_mode)
    dropped = drop(engine, params, check_mode)
    before = views(params)
    due = engine.due(before)
    if due and not check_mode:
        engine.restart(due, before)
        after = views(params)
        due = {name for name in before if _instance(before[name]) != _instance(after[name])}
    retained = engine.keep()
    return moved or dropped or bool(due) or retained, [f"deepgram-{name}" for name in before if name in due]


def _instance(container):
    return container and (container["id"], container["started_at"])


def explain(params, error, since):
    """(msg, fix) for a start that failed, with what the containers said since."""
    secrets = secrets_in(os.path.join(params["directory"], "deepgram.env"))
    logs = [log_tail(params["engine"], f"deepgram-{name}", 5, secrets, since) for name in params["files"]]
    lines = [line for log in logs for line in log.splitlines()]
    reported = " | ".join([without(str(error), secrets), *lines])
    known = diagnose(lines)
    fix = next(
        (fix for pattern, fix in FIXES if re.search(pattern, reported, re.IGNORECASE)), known and known.remediation
    )
    return (
        f"the Deepgram containers did not start: {reported}",
        fix or "look at their logs on the server, then run again",
    )


def main():
    module = AnsibleModule(
        argument_spec={
            "engine": {"type": "str", "choices": ["docker", "podman"], "required": True},
            "directory": {"type": "path", "required": True},
            "components": {"type": "list", "elements": "str", "default": ["engine", "api"]},
            "asks": {"type": "dict", "default": {}},
            "unit": {"type": "str", "default": "deepgram.service"},
            "urls": {"type": "dict", "required": True},
            "files": {"type": "dict", "required": True},
            "stop_timeout_s": {"type": "int", "required": True},
            "hung_stop_s": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    begin = time.time()
    if not module.check_mode:
        lease.wait()  # the watchdog may be at the same containers
    try:
        changed, started = work(module.params, module.check_mode)
    except CommandFailed as error:
        what, fix = explain(module.params, error, begin)
        module.fail_json(msg=f"{what}. Fix: {fix}.", fix=fix)
    module.exit_json(changed=changed, started=started)


if __name__ == "__main__":
    main()
