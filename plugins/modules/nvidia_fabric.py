#!/usr/bin/python
"""Ansible module: NVIDIA Fabric Manager, running at the driver's version, with every GPU in the fabric."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_fabric
short_description: Runs Fabric Manager on a host with NVSwitches, and proves that the GPUs have joined
description:
  - Loads the kernel modules that it needs, enables and starts its unit, and restarts a daemon whose program was
    replaced since. The driver must be loaded.
  - Ends once the unit is active, Fabric Manager has the driver's version, and nvidia-smi says C(Completed) and
    C(Success) of every GPU; fails when that does not come about in time.
options:
  version:
    description: Version of the driver, as in C(580.173.02).
    type: str
    required: true
  fabric_state:
    description: Whether nvidia-smi tells the state of these GPUs; before Hopper it does not.
    type: bool
    default: true
  loads:
    description: Kernel modules that must be loaded before.
    type: list
    elements: str
    default: []
  timeout_s:
    description: Seconds until every GPU must be in the fabric.
    type: int
    default: 300
extends_documentation_fragment:
  - check_mode
"""

EXAMPLES = r"""
- name: Run Fabric Manager
  nvidia_fabric:
    version: 580.173.02
"""

RETURN = r"""
units:
  description: Fabric Manager's unit and what holds for it.
  type: dict
  returned: success
states:
  description: State and status by GPU, as nvidia-smi says them.
  type: dict
  returned: success
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.outcome import fail, last_line, run
from ansible.module_utils.host.systemd import journal
from ansible.module_utils.host.units import is_active, is_enabled
from ansible.module_utils.nvidia import fabric
from ansible.module_utils.nvidia.host import module_loaded

UNITS = {fabric.UNIT: ["active", "enabled"]}


def steps(loads):
    """What there is to do: commands in their order."""
    now = fabric.unit()
    todo = [["modprobe", name] for name in loads if not module_loaded(name)]
    if now.get("NeedDaemonReload") == "yes":
        todo.append(["systemctl", "daemon-reload"])
    if not is_enabled(now):
        todo.append(["systemctl", "enable", fabric.UNIT])
    if not is_active(now) or fabric.outdated(now):
        todo.append(["systemctl", "restart", fabric.UNIT])
    return todo


def carry_out(module, todo):
    for argv in todo:
        rc, out, err = run(argv, timeout=module.params["timeout_s"])
        if rc != 0:
            reported = journal(fabric.UNIT) if argv[0] == "systemctl" else last_line(err) or last_line(out)
            fail(module, "{}: {}".format(" ".join(argv), reported), advice(argv), reported)


def advice(argv):
    if argv[0] == "modprobe":
        return "Fabric Manager needs this kernel module: install the kernel's package of further modules, or its InfiniBand."
    return f"journalctl -u {fabric.UNIT} and /var/log/fabricmanager.log on the host say more."


def prove(module):
    """Waits until the GPUs have joined; fails in time, with what is missing."""
    params = module.params
    end = time.monotonic() + params["timeout_s"]
    lacks = fabric.missing(params["version"], params["fabric_state"])
    while lacks and time.monotonic() < end:
        time.sleep(2)
        lacks = fabric.missing(params["version"], params["fabric_state"])
    if lacks:
        fail(
            module,
            "The NVSwitch fabric is not up after {} s: {}".format(params["timeout_s"], lacks),
            f"{advice(['systemctl'])} Its last words: {journal(fabric.UNIT) or 'none'}",
            lacks,
        )


def main():
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "fabric_state": {"type": "bool", "default": True},
            "loads": {"type": "list", "elements": "str", "default": []},
            "timeout_s": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    todo = steps(module.params["loads"])
    if module.check_mode:
        module.exit_json(changed=bool(todo), units=UNITS, states={})
    carry_out(module, todo)
    prove(module)
    module.exit_json(changed=bool(todo), units=UNITS, states=fabric.states()[0])


if __name__ == "__main__":
    main()
