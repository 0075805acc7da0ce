#!/usr/bin/python
"""Ansible module: a unit of systemd runs, with the files that it reads when it starts as they are now."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unit_running
short_description: Has a unit run with its files as they are, now and at boot
description:
  - Restarts it where a file that it reads is newer than its process, so that a run that was killed between the file and the
    restart is continued by the next one.
options:
  unit:
    description: The unit.
    type: str
    required: true
  state:
    description: V(absent) stops and disables it, where there is one; its files are the caller's.
    type: str
    choices: [running, absent]
    default: running
  reads:
    description: The files that its main process reads when it starts, its own and its drop-ins among them.
    type: list
    elements: path
    default: []
  answers:
    description: An address (http) of the server that answers 200 once it works.
    type: str
    default: ""
  timeout_s:
    description: How long that may take, seconds.
    type: int
    default: 60
extends_documentation_fragment:
  - check_mode.no_diff
"""
EXAMPLES = r"""
- name: Run Prometheus
  unit_running:
    unit: prometheus.service
    reads: [/etc/prometheus/prometheus.yml]
    answers: http://127.0.0.1:9090/-/ready
"""
RETURN = r"""
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deepgram.http import get
from ansible.module_utils.host.outcome import fail, run
from ansible.module_utils.host.systemd import journal, properties, restart, systemctl
from ansible.module_utils.host.units import is_active, is_enabled, is_older

PAUSE_S = 0.5


def running(module):
    """Has the unit run as its files say; True when that was needed."""
    unit = module.params["unit"]
    seen = properties(unit, "ActiveState", "UnitFileState", "MainPID", "NeedDaemonReload")
    stale = seen.get("NeedDaemonReload") == "yes" or is_older(seen, module.params["reads"])
    due = stale or not is_active(seen) or not is_enabled(seen)
    if due and not module.check_mode:
        restart(module, unit, f"see `journalctl -u {unit}` on the server")
    if not module.check_mode:
        time.sleep(PAUSE_S if due else 0)
        prove(module)
    return due


def prove(module):
    """Fails unless the unit stays active and answers within the time."""
    params = module.params
    unit, end = params["unit"], time.monotonic() + params["timeout_s"]
    while True:
        active = is_active(properties(unit, "ActiveState"))
        why = get(params["answers"], 5)[1] if active and params["answers"] else ""
        if active and not why:
            return
        if time.monotonic() > end:
            what = (
                f"{params['answers']} does not answer: {why}" if active else f"{unit} does not stay up: {journal(unit)}"
            )
            fail(module, what, f"see `journalctl -u {unit}` and `systemctl cat {unit}` on the server")
        time.sleep(PAUSE_S)


def absent(module):
    """Stops and disables the unit; True when there was something to do."""
    unit = module.params["unit"]
    seen = properties(unit, "ActiveState", "UnitFileState")
    due = seen.get("ActiveState") not in ("inactive", "", None) or is_enabled(seen)
    if due and not module.check_mode:
        systemctl(module, unit, f"see `journalctl -u {unit}` on the server", "disable", "--now", unit)
        run(["systemctl", "reset-failed", unit])
    return due


def main():
    module = AnsibleModule(
        argument_spec={
            "unit": {"required": True},
            "state": {"choices": ["running", "absent"], "default": "running"},
            "reads": {"type": "list", "elements": "path", "default": []},
            "answers": {"default": ""},
            "timeout_s": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    changed = running(module) if module.params["state"] == "running" else absent(module)
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
