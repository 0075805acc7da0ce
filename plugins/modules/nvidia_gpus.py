#!/usr/bin/python
"""Ansible module: the host's NVIDIA GPUs as facts, where no preflight of the same run has told them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_gpus
short_description: Tells which GPUs a host has, and the driver's flavour that they need
description:
  - Reads PCI devices only. The module M(preflight_probe) returns the same facts.
options:
  gpus:
    description: PCI id to C(name), C(compute_capability) and what else _platform_gpus has.
    type: dict
    required: true
  driver:
    description: As the option C(gpu.driver) of M(preflight_probe), and C(packages), the package manager.
    type: dict
    required: true
extends_documentation_fragment:
  - check_mode
"""

EXAMPLES = r"""
- name: Learn which GPUs this host has
  nvidia_gpus:
    gpus: "{{ _platform_gpus }}"
    driver: "{{ _nvidia_driver_wanted }}"
"""

RETURN = r"""
ansible_facts:
  description: nvidia_host with C(gpus) (PCI ids), C(kernel_module) (open or proprietary), C(nvswitch) (key of the
    board in _platform_nvswitch, empty for none) and C(fabric_packages) (each with C(name) and C(own_version)).
  type: dict
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.preflight.driver import Wanted


def main():
    module = AnsibleModule(
        argument_spec={"gpus": {"type": "dict", "required": True}, "driver": {"type": "dict", "required": True}},
        supports_check_mode=True,
    )
    tables = {**module.params["driver"], "gpus": module.params["gpus"]}
    desired = Wanted(tables, module.params["driver"])
    module.exit_json(changed=False, ansible_facts={"ansible_nvidia_host": desired.facts()})


if __name__ == "__main__":
    main()
