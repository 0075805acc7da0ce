#!/usr/bin/python
"""Ansible module: explains an unhealthy host, in one round trip."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_doctor
short_description: Inspects everything that is known to make a host of Deepgram's unhealthy, and says its cause and fix
description:
  - Inspects driver, GPUs, packages and their sources, toolkit and CDI, containers, disk, clock and the kernel's log, all at
    once and each with a time limit. Changes nothing, and does not fail over what it finds.
  - What the roles recorded on the host tells what was there before.
options:
  host:
    description: The host's name in the inventory, under which roles left their records.
    type: str
    required: true
  gpu:
    description: Whether an Engine is to run here; without one nothing is asked about GPUs.
    type: bool
    default: true
  tables:
    description: The tables of role platform, C(gpus), C(generations), C(branches), C(nvswitch) and C(cdi). What a table does
      not know is not judged.
    type: dict
    default: {}
  driver_source:
    description: Where the driver's packages come from.
    type: str
    choices: [nvidia, distribution]
    default: nvidia
  gpu_count:
    description: Exact number of GPUs, if the user gave one.
    type: int
  hold:
    description: Whether the driver's packages are to be held.
    type: bool
    default: true
  persistence:
    description: Whether the GPUs are to be in persistence mode.
    type: bool
    default: true
  lock_patience_s:
    description: Seconds that another program may hold the package manager's lock.
    type: int
    default: 600
  places:
    description: Directories whose filesystems need room, beside the usual ones.
    type: list
    elements: path
    default: []
  controller_time:
    description: The controller's clock, seconds since the epoch.
    type: float
  deep:
    description: Whether NVIDIA's DCGM, where it is installed, is to test the GPUs too, at its quickest level. Still nothing is
      changed.
    type: bool
    default: false
extends_documentation_fragment:
  - containers.usual
  - check_mode.no_diff
"""

EXAMPLES = r"""
- name: Inspect everything that is known to make a host unhealthy
  host_doctor:
    host: "{{ inventory_hostname }}"
    tables: {gpus: "{{ _platform_gpus }}", generations: "{{ _platform_generations }}"}
    controller_time: "{{ '%s' | ansible.builtin.strftime }}"
"""

RETURN = r"""
findings:
  description: One a check, with check, verdict (pass, fail, skip), seen, expected, fix, of those that fail the cause, and of
    those that another one explains C(follows), its name.
  type: list
  returned: always
sick:
  description: The checks that fail.
  type: list
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.doctor import doctor


def main():
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "gpu": {"type": "bool", "default": True},
            "engine": {"type": "str", "choices": ["docker", "podman"], "default": "docker"},
            "tables": {"type": "dict", "default": {}},
            "driver_source": {"type": "str", "choices": ["nvidia", "distribution"], "default": "nvidia"},
            "gpu_count": {"type": "int"},
            "hold": {"type": "bool", "default": True},
            "persistence": {"type": "bool", "default": True},
            "lock_patience_s": {"type": "int", "default": 600},
            "places": {"type": "list", "elements": "path", "default": []},
            "controller_time": {"type": "float"},
            "deep": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    findings = doctor.examine(doctor.seen(module.params))
    names = [found["check"] for found in findings if found["verdict"] == "fail"]
    module.exit_json(changed=False, findings=findings, sick=names)


if __name__ == "__main__":
    main()
