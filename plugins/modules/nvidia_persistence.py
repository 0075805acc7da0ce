#!/usr/bin/python
"""Ansible module: NVIDIA's persistence daemon, running and with effect."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_persistence
short_description: Runs nvidia-persistenced with persistence mode on
description:
  - Distributions start the daemon with C(--no-persistence-mode), so that it runs without effect. This
    takes that option away by a drop-in that keeps the rest of the packaged command, enables and starts the
    unit, and looks that each GPU has the mode on.
  - A unit that needs no drop-in gets none; the daemon is restarted only when it runs without effect.
options:
  enabled:
    description: Persistence mode on; false leaves the daemon as the package has it.
    type: bool
    default: true
extends_documentation_fragment:
  - check_mode
"""

EXAMPLES = r"""
- name: Keep the driver initialised
  nvidia_persistence:
    enabled: true
"""

RETURN = r"""
drop_in:
  description: The drop-in's path; empty where the packaged unit needs none.
  type: str
  returned: success
unit:
  description: What holds for the unit, active and enabled; a unit that is static cannot be enabled.
  type: list
  returned: success
modes:
  description: Persistence mode by GPU, as nvidia-smi says it.
  type: dict
  returned: success
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host import whole_file
from ansible.module_utils.host.files import read
from ansible.module_utils.host.outcome import fail
from ansible.module_utils.host.systemd import properties, systemctl
from ansible.module_utils.host.units import is_active, is_enabled
from ansible.module_utils.nvidia.host import smi_gpus

UNIT = "nvidia-persistenced.service"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/50-persistence-mode.conf"
FIX = "see `journalctl -u nvidia-persistenced` on the server"


def unit():
    """The unit's properties; FragmentPath is empty where there is no unit."""
    return properties(UNIT, "FragmentPath", "ActiveState", "UnitFileState", "NeedDaemonReload")


def drop_in(fragment, desired):
    """Text of the drop-in that this packaged unit needs; "" for none."""
    command = next((line.split("=", 1)[1] for line in fragment.splitlines() if line.startswith("ExecStart=")), "")
    if not desired or "--no-persistence-mode" not in command:
        return ""
    return "# Written by the nvidia_driver role.\n[Service]\nExecStart=\nExecStart={}\n".format(
        command.replace("--no-persistence-mode", "--persistence-mode")
    )


def write(text, path=DROP_IN):
    """Puts the drop-in there, or takes it away; True when that changed anything."""
    if whole_file.is_so(path, text, 0o644) if text else not os.path.lexists(path):
        return False
    if not text:
        os.unlink(path)
        return True
    whole_file.write(path, text, 0o644)
    return True


def modes(module):
    cards, error = smi_gpus()
    if error:
        fail(module, f"nvidia-smi does not answer: {error}", "See dmesg | grep NVRM on the host.", error)
    return {card["pci.bus_id"]: card["persistence_mode"] for card in cards}


def made():
    """What the role answers for beside the modes."""
    enabled = ["enabled"] if is_enabled(unit()) else []
    return {"drop_in": DROP_IN if os.path.exists(DROP_IN) else "", "unit": ["active", *enabled]}


def settle(module, desired):
    """Brings the unit to the wanted state; (changed, modes)."""
    before = unit()
    if not before.get("FragmentPath"):
        fail(
            module,
            f"There is no unit {UNIT}",
            "Install the package nvidia-persistenced, or set nvidia_driver_persistence to false.",
        )
    changed = write(drop_in(read(before["FragmentPath"]), desired))
    if changed or before["NeedDaemonReload"] == "yes":
        systemctl(module, UNIT, FIX, "daemon-reload")
    if before["UnitFileState"] not in ("enabled", "static"):
        systemctl(module, UNIT, FIX, "enable", UNIT)
        changed = True
    without_effect = desired and "Disabled" in modes(module).values()
    if not is_active(before) or without_effect or changed:
        systemctl(module, UNIT, FIX, "restart", UNIT)
        changed = True
    return changed, modes(module)


def main():
    module = AnsibleModule(argument_spec={"enabled": {"type": "bool", "default": True}}, supports_check_mode=True)
    desired = module.params["enabled"]
    if module.check_mode:
        now = unit()
        there = now.get("FragmentPath") and is_active(now)
        stale = not there or drop_in(read(now["FragmentPath"]), desired).strip() != read(DROP_IN)
        module.exit_json(changed=bool(stale), modes={}, **made())
    changed, seen = settle(module, desired)
    if desired and set(seen.values()) != {"Enabled"}:
        fail(module, f"Persistence mode stays off: {seen}", FIX, seen)
    module.exit_json(changed=changed, modes=seen, **made())


if __name__ == "__main__":
    main()
