#!/usr/bin/python
"""Has the program run that tells NGINX who a caller is, or takes it away without a trace."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deepgram_callers
short_description: Has the program run that tells NGINX who a caller is, or takes it away
description:
  - With V(present) the socket and the service run, now and at boot, with the program that is on the disk, and the server has a
    key of its own for its checks. Keys are read again when their file changes; nothing is restarted for them.
  - With V(absent) units and files are gone.
options:
  state:
    description: Whether callers are asked who they are.
    type: str
    choices: [present, absent]
    required: true
  reads:
    description: For V(present), program and units; when one of them is newer than the service, it is restarted.
    type: list
    elements: path
    default: []
  files:
    description: For V(absent), the files to remove.
    type: list
    elements: path
    default: []
extends_documentation_fragment:
  - check_mode.no_diff
"""
EXAMPLES = r"""
- name: Have callers asked who they are
  deepgram_callers:
    state: present
    reads: [/usr/local/lib/deepgram/deepgram-callers, /etc/systemd/system/deepgram-callers.service]
"""
RETURN = r"""
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.files import written_after
from ansible.module_utils.host.outcome import fail, run
from ansible.module_utils.host.systemd import properties, systemctl
from ansible.module_utils.host.units import is_active, is_enabled, started

SERVICE, SOCKET = "deepgram-callers.service", "deepgram-callers.socket"
UNITS = "/etc/systemd/system"
OWN = "/run/deepgram-callers/own.key"
FIX = (
    "see `systemctl status deepgram-callers.socket deepgram-callers` and `journalctl -u deepgram-callers` on the server"
)


def service_started():
    """When the service's process was started; 0 where there is none."""
    return started(properties(SERVICE, "MainPID").get("MainPID", "0")) or 0


def due(reads):
    """Whether something must be started, or started again."""
    units = [properties(name, "ActiveState", "UnitFileState") for name in (SOCKET, SERVICE)]
    right = all(is_active(unit) and is_enabled(unit) for unit in units) and os.path.exists(OWN)
    return not right or bool(written_after(reads, service_started()))


def present(module):
    """Has both units run with the files that are there; True when that was needed."""
    reads = module.params["reads"]
    if module.check_mode and not all(os.path.exists(path) for path in reads):
        return True
    needed = due(reads)
    if module.check_mode or not needed:
        return needed
    systemctl(module, SERVICE, FIX, "daemon-reload")
    run(["systemctl", "reset-failed", SERVICE])
    # A socket takes other settings only while its service does not run. What NGINX asks meanwhile is refused, and no stream ends.
    if written_after([f"{UNITS}/{SOCKET}"], service_started()):
        run(["systemctl", "stop", SERVICE, SOCKET])
    for step in (("enable", SOCKET, SERVICE), ("start", SOCKET), ("restart", SERVICE)):
        systemctl(module, SERVICE, FIX, *step)
    if due(reads):
        fail(module, f"{SERVICE} does not stay up", FIX)
    return True


def absent(module):
    """Takes everything away; True when there was something."""
    there = [path for path in module.params["files"] if os.path.lexists(path)]
    if not there or module.check_mode:
        return bool(there)
    for name in (SERVICE, SOCKET):
        if os.path.lexists(f"{UNITS}/{name}"):
            systemctl(module, name, FIX, "disable", "--now", name)
    for path in there:
        os.unlink(path)
    systemctl(module, SERVICE, FIX, "daemon-reload")
    return True


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["present", "absent"], "required": True},
            "reads": {"type": "list", "elements": "path", "default": []},
            "files": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    changed = present(module) if module.params["state"] == "present" else absent(module)
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
