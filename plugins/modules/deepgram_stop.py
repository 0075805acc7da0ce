#!/usr/bin/python
"""Stops Deepgram on this server for good; if asked, takes away everything that its roles made."""

from __future__ import annotations

DOCUMENTATION = """
module: deepgram_stop
short_description: Stops Deepgram's containers, and keeps them stopped
description:
  - Containers finish the requests that they have, and are removed with the files that start them at boot.
    Configurations, models and images stay, for a deployment that brings them back.
  - With O(wipe) containers, images, models, C(/etc/deepgram), C(/var/lib/deepgram) with the records of what was applied,
    the site of NGINX and the firewall's rules go, too.
  - Never touches the NVIDIA driver, the container engines, or a file that a package brought.
options:
  wipe:
    description: Whether everything that Deepgram's roles made is removed.
    type: bool
    default: false
  directory:
    description: Directory of the compose project.
    type: path
    default: /etc/deepgram
  stop_timeout_s:
    description: Seconds that a container may take to finish its requests.
    type: int
    default: 1800
  urls:
    description: By component an address on this server that answers while the component works.
    type: dict
    default: {}
extends_documentation_fragment:
  - containers.hung
  - check_mode.no_diff
"""
EXAMPLES = """
- name: Stop Deepgram for good
  deepgram_stop:
    wipe: true
"""
RETURN = """
stopped:
  description: Containers that were stopped, or in check mode would be.
  returned: success
  type: list
  elements: str
removed:
  description: What was removed, or in check mode would be.
  returned: success
  type: list
  elements: str
note:
  description: What NGINX says against its configuration without Deepgram's site; usually empty.
  returned: success
  type: str
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deepgram import wipe as deepgram_wipe
from ansible.module_utils.deepgram.components import ALONE
from ansible.module_utils.deepgram.containers import CommandFailed, run
from ansible.module_utils.deepgram.engines import COMPONENT, ENGINES
from ansible.module_utils.host import lease
from ansible.module_utils.host.outcome import fail


def containers(engine):
    """Deepgram's containers in an engine, also those that stopped."""
    out = run([engine, "ps", "--all", "--format", "{{.Names}}"], check=False)[1]
    return [name for name in out.split() if COMPONENT.match(name)]


def projects(params):
    """What each project of Deepgram's is asked with: that of Engines and APIs, then those of one component."""
    alone = [
        {"components": [name], "unit": f"deepgram-{name}.service", "directory": f"/etc/deepgram-{name}", "urls": {}}
        for name in ALONE
    ]
    return [{**params, "files": {}, **own} for own in ({}, *alone)]


def stop(params, check_mode):
    """(names of the containers that were stopped, whether anything was done)."""
    stopped, changed = [], False
    for name, kind in ENGINES.items():
        there = [one for one in (kind(project, check_mode) for project in projects(params)) if one.there()]
        running = containers(name)
        stopped += running
        changed |= bool(there or running)
        if check_mode:
            continue
        for engine in there:
            engine.leave()
        for left in containers(name):
            run([name, "stop", "--time", str(params["stop_timeout_s"]), left], timeout=params["stop_timeout_s"] + 60)
            run([name, "rm", "--force", left], check=False)
    return stopped, changed


def work(params, check_mode):
    due = deepgram_wipe.plan(deepgram_wipe.things()) if params["wipe"] else {}
    stopped, changed = stop(params, check_mode)
    reported = deepgram_wipe.wipe(due) if due and not check_mode else ""
    removed = [*due.get("units", []), *due.get("files", []), *due.get("folders", [])]
    removed += [f"{engine} image {name}" for engine, names in due.get("images", {}).items() for name in names]
    return {"changed": changed or bool(removed), "stopped": stopped, "removed": removed, "note": reported}


def main():
    module = AnsibleModule(
        argument_spec={
            "wipe": {"type": "bool", "default": False},
            "directory": {"type": "path", "default": "/etc/deepgram"},
            "stop_timeout_s": {"type": "int", "default": 1800},
            "urls": {"type": "dict", "default": {}},
            "hung_stop_s": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    if not module.check_mode:
        lease.wait()  # the watchdog may be at the same containers
    try:
        result = work(module.params, module.check_mode)
    except CommandFailed as error:
        fail(module, f"Deepgram could not be stopped: {error}", "see its containers on the server, then run again")
    except OSError as error:
        fail(module, f"{error.filename} cannot be removed: {error.strerror}", "see what holds it, then run again")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
