#!/usr/bin/python
"""Ansible module: MIG switched off on every GPU, without a reboot where that is possible."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_mig
short_description: Switches MIG off
description:
  - Deepgram's Engine does not run on MIG slices. Where a GPU has MIG on, those that use the GPUs are stopped, the
    slices destroyed, the mode switched off and, where the GPU asks for it, the GPU reset; then the CDI
    specification is regenerated and those that were stopped are started again.
  - Where a reset is not possible RV(reboot_needed) says why only a reboot will help.
options: {}
extends_documentation_fragment:
  - check_mode
"""

EXAMPLES = r"""
- name: Switch MIG off
  nvidia_mig:
"""

RETURN = r"""
were_on:
  description: PCI addresses of the GPUs that had MIG on.
  type: list
  returned: success
reboot_needed:
  description: Why only a reboot can end MIG; empty when it is off.
  type: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.outcome import fail, last_line, run
from ansible.module_utils.nvidia import cdi_refresh, driver_reload, gpu_clients
from ansible.module_utils.nvidia.host import mig_enabled, smi_gpus


def enabled(module):
    cards, error = smi_gpus()
    if error:
        fail(module, f"nvidia-smi does not answer: {error}", "See dmesg | grep NVRM on the host.", error)
    return mig_enabled(cards)


def switch_off(module, buses):
    """Destroys the slices and the mode; GPUs newer than Ampere need no reset for it."""
    for bus in buses:
        for what in ("-dci", "-dgi"):
            run(["nvidia-smi", "mig", what, "-i", bus], timeout=120)  # fails where there is none
        rc, out, err = run(["nvidia-smi", "-i", bus, "-mig", "0"], timeout=300)
        if rc != 0:
            reported = last_line(err) or last_line(out)
            fail(
                module,
                f"MIG cannot be switched off on {bus}: {reported}",
                "Stop what uses its slices; run again.",
                reported,
            )


def reset(buses):
    """Resets the GPUs; "" or why that does not work."""
    rc, out, err = run(["nvidia-smi", "--gpu-reset", "-i", ",".join(buses)], timeout=300)
    return "" if rc == 0 else last_line(err) or last_line(out)


def undo(module, buses):
    """Why a reboot is needed, or "" when MIG is off."""
    who = gpu_clients.clients()
    if who["others"]:
        what = "{} uses the GPU and belongs to no unit or container".format(", ".join(who["others"]))
        fail(module, f"MIG cannot be switched off: {what}", "Stop it; run again.", what)
    who["units"] = sorted({*who["units"], *gpu_clients.active(gpu_clients.DAEMONS)})
    driver_reload.remember(who)
    problem, left = gpu_clients.stop(who), []
    if not problem:
        switch_off(module, buses)
        left = enabled(module)
        problem = reset(left) if left else ""
    if not problem:
        cdi_refresh.restart_if_enabled()
    failed = driver_reload.resume()
    if failed:
        fail(module, f"MIG is off, but what used the GPU does not start: {failed}", "Look at its log on the host.")
    return f"MIG is off only after a reboot, {', '.join(left or buses)} cannot be reset: {problem}" if problem else ""


def main():
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    buses, needed = enabled(module), ""
    if buses and not module.check_mode:
        needed = undo(module, buses)
        still = [] if needed else enabled(module)
        if still:
            fail(module, f"MIG stays on: {', '.join(still)}", "nvidia-smi -q -d MIG on the host says more.", still)
    module.exit_json(changed=bool(buses), were_on=buses, reboot_needed=needed)


if __name__ == "__main__":
    main()
