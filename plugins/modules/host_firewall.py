#!/usr/bin/python
"""Has the firewall of the role host_firewall in force, or takes it away without a trace."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_firewall
short_description: Has the firewall of the role host_firewall in force, or takes it away
description:
  - With V(present) the unit runs, now and at boot, and the kernel has the table that follows from its files. A change is
    one transaction; connections that exist stay.
  - With V(absent) unit, table and files are gone.
options:
  state:
    description: Whether there is a firewall.
    type: str
    choices: [present, absent]
    required: true
  unit:
    description: The unit's file.
    type: path
    required: true
  program:
    description: The program that makes the table.
    type: path
    required: true
  reread:
    description: For V(present), whether systemd reloads its units, because a file beside O(unit) was written.
    type: bool
    default: false
  files:
    description: For V(absent), the files to remove, beside unit and program.
    type: list
    elements: path
    default: []
extends_documentation_fragment:
  - check_mode.no_diff
"""
EXAMPLES = r"""
- name: Have the firewall in force
  host_firewall:
    state: present
    unit: /etc/systemd/system/deepgram-firewall.service
    program: /usr/local/lib/deepgram/host-firewall
"""
RETURN = r"""
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.outcome import fail, run
from ansible.module_utils.host.systemd import properties, systemctl
from ansible.module_utils.host.units import is_active, is_enabled

FIX = "see `journalctl -u deepgram-firewall` and `nft list ruleset` on the server"


def present(module):
    """Has the unit run and the table be right; True when that was needed."""
    unit, program = os.path.basename(module.params["unit"]), module.params["program"]
    if module.check_mode and not (os.path.exists(module.params["unit"]) and os.path.exists(program)):
        return True
    seen = properties(unit, "ActiveState", "UnitFileState", "NeedDaemonReload")
    stale = seen.get("NeedDaemonReload") == "yes"
    active, enabled = is_active(seen), is_enabled(seen)
    right = active and run([program, "check"])[0] == 0
    if not module.check_mode:
        steps = [(stale or not enabled or module.params["reread"], ["daemon-reload"]), (not enabled, ["enable", unit])]
        steps += [(not active, ["start", unit]), (active and not right, ["reload", unit])]
        for due, words in steps:
            if due:
                systemctl(module, unit, FIX, *words)
        if not right and run([program, "check"])[0] != 0:
            fail(module, "the kernel has not the firewall's table after it was put in place", FIX)
    return stale or not enabled or not right


def absent(module):
    """Takes everything away; True when there was something."""
    params = module.params
    unit = os.path.basename(params["unit"])
    there = [path for path in [params["unit"], params["program"], *params["files"]] if os.path.lexists(path)]
    if not there or module.check_mode:
        return bool(there)
    if os.path.lexists(params["unit"]):
        systemctl(module, unit, FIX, "disable", "--now", unit)
    if os.path.lexists(params["program"]):
        run([params["program"], "remove"])
    # The program last: a run that is killed here finds it, and goes on.
    for path in [*params["files"], params["unit"], params["program"]]:
        if os.path.lexists(path):
            os.unlink(path)
    systemctl(module, unit, FIX, "daemon-reload")
    return True


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["present", "absent"], "required": True},
            "unit": {"type": "path", "required": True},
            "program": {"type": "path", "required": True},
            "reread": {"type": "bool", "default": False},
            "files": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    changed = present(module) if module.params["state"] == "present" else absent(module)
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
