#!/usr/bin/python
"""Ansible module: the CDI file by which containers get GPUs: fresh, complete, and the only one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_cdi
short_description: Keeps the CDI specification of the NVIDIA GPUs right
description:
  - Enables the toolkit's refresh units, tells them the feature flag that an old engine needs, removes a
    second specification that would go stale, and has the specification regenerated when it is not what
    C(nvidia-ctk cdi generate) gives for the GPUs and the driver that are there now.
  - Adds O(drop_in) to the unit that writes the specification.
  - Ends with the proof that C(nvidia-ctk cdi list) names each GPU of the PCI bus.
options:
  engine:
    description: The engine that reads the specification; its program is asked for its version.
    type: str
    choices: [docker, podman]
    required: true
  full_cdi_from:
    description: First version of the engine that reads specifications of version 0.7.0; older ones get
      the feature flag.
    type: str
    required: true
  drop_in:
    description: What to add to C(nvidia-cdi-refresh.service), as for containers to wait for it at boot.
    type: str
    required: true
extends_documentation_fragment:
  - check_mode
"""

EXAMPLES = r"""
- name: Write the CDI file
  nvidia_cdi:
    engine: docker
    full_cdi_from: 26.1.0
    drop_in: "[Unit]\\nBefore=docker.service\\n"
"""

RETURN = r"""
files:
  description: The specification, and the files that tell the refresh unit how to write it.
  type: list
  returned: success
shared:
  description: Those of RV(files) that are generated, or have lines of their owner's own.
  type: list
  returned: success
devices:
  description: Names of the CDI devices.
  type: list
  returned: success
driver_version:
  description: Driver that the specification was made for.
  type: str
  returned: success
"""

import glob
import os
import re
import shutil
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.files import read
from ansible.module_utils.host.outcome import fail, last_line, run
from ansible.module_utils.host.systemd import expect_success, properties, systemctl
from ansible.module_utils.host.whole_file import is_so, settle_rights, write
from ansible.module_utils.nvidia import cdi_spec
from ansible.module_utils.nvidia.cdi_refresh import UNITS, restart
from ansible.module_utils.nvidia.host import gpu_information, loaded_version, pci_gpus

SPEC = "/var/run/cdi/nvidia.yaml"
SECOND = ("/etc/cdi/nvidia.yaml", "/etc/cdi/nvidia.json")
DROP_IN = f"/etc/systemd/system/{UNITS[1]}.d/50-before-containers.conf"
SETTINGS = "/etc/nvidia-container-toolkit/nvidia-cdi-refresh.env"
FIX = f"The refresh unit needs a driver that answers: run nvidia-smi, then journalctl -u {UNITS[1]}."
FLAG = "NVIDIA_CTK_CDI_GENERATE_FEATURE_FLAGS=no-additional-gids-for-device-nodes"


def devices():
    """(names that nvidia-ctk finds, its error)."""
    rc, out, err = run(["nvidia-ctk", "cdi", "list"])
    names = [line.strip() for line in out.splitlines() if line.startswith("nvidia.com/gpu=")]
    return names, "" if rc == 0 else last_line(err)


def generated(settings=SETTINGS):
    """What nvidia-ctk gives now, with the unit's own settings; "" where it fails, of which the refresh says why."""
    scratch = tempfile.mkdtemp()
    try:
        target = os.path.join(scratch, "nvidia.yaml")
        lines = [line.partition("=") for line in read(settings).splitlines() if re.match(r"[A-Z_]+=", line)]
        given = {name: value.strip().strip("'\"") for name, _, value in lines}
        words = [f"{name}={value}" for name, value in {**given, "NVIDIA_CTK_CDI_OUTPUT_FILE_PATH": target}.items()]
        rc, _out, _err = run(["env", *words, "nvidia-ctk", "cdi", "generate"], timeout=120)
        return read(target) if rc == 0 else ""
    finally:
        shutil.rmtree(scratch)


def faults(text, names, driver, gpus, uuids=()):
    """What is wrong with the specification, in words; empty when it is right. `uuids`: of the GPUs that are there."""
    found = []
    written_for = cdi_spec.drivers(text)
    if written_for != [driver]:
        found.append("{} is for driver {}, loaded is {}".format(SPEC, " and ".join(written_for) or "none", driver))
    elif not cdi_spec.has_cuda(text):
        found.append(f"{SPEC} hands out no libcuda")
    if cdi_spec.version(text) > cdi_spec.NEWEST:
        found.append(f"{SPEC} is of version {cdi_spec.dotted(cdi_spec.version(text))}, which no engine reads")
    numbered = [name for name in names if re.match(r"^nvidia\.com/gpu=\d+$", name)]
    if len(numbered) != gpus:
        found.append(f"nvidia-ctk lists {len(numbered)} of {gpus} GPUs")
    elif cdi_spec.wrong_uuids(text, uuids):
        found.append(f"{SPEC} {cdi_spec.wrong_uuids(text, uuids)}")
    return found


def engine_is_old(engine, full_cdi_from):
    """Can this engine not read specifications of version 0.7.0? An engine that is not there is not old."""
    _rc, out, _err = run([engine, "--version"])
    version = re.search(r"(\d+)\.(\d+)\.(\d+)", out)
    return bool(version) and tuple(map(int, version.groups())) < tuple(map(int, full_cdi_from.split(".")))


def set_flag(desired, check_mode, path=SETTINGS):
    """Adds or removes the feature flag's line, keeping all others; True when that changes the file."""
    lines = read(path).splitlines()
    retained = [line for line in lines if line.strip() != FLAG] + ([FLAG] if desired else [])
    if retained == lines or (FLAG in lines) == desired:
        return False
    if not check_mode:
        write(path, "\n".join(retained) + "\n", 0o644)
    return True


def add_drop_in(text, check_mode, path=DROP_IN):
    """Puts the drop-in there; True when it was not so."""
    if is_so(path, text, 0o644):
        return False
    if not check_mode:
        write(path, text, 0o644)
    return True


def set_aside(check_mode):
    """Renames specifications in /etc/cdi: nothing refreshes them, and engines would read both."""
    second = [path for path in SECOND if os.path.exists(path)]
    for path in second if not check_mode else []:
        os.replace(path, path + ".replaced-by-nvidia-cdi-refresh")
    return second


def not_enabled():
    """Refresh units that are not enabled, or that do not watch."""
    waiting = [unit for unit in UNITS if run(["systemctl", "is-enabled", "--quiet", unit])[0] != 0]
    if UNITS[0] not in waiting and run(["systemctl", "is-active", "--quiet", UNITS[0]])[0] != 0:
        waiting.append(UNITS[0])
    return waiting


def enable(module):
    """Enables and starts the units, once systemd has read what was added to them; True when that was needed."""
    waiting = not_enabled()
    if module.check_mode:
        return bool(waiting)
    if properties(UNITS[1], "NeedDaemonReload").get("NeedDaemonReload") == "yes":
        systemctl(module, UNITS[1], FIX, "daemon-reload")
    if waiting:
        systemctl(module, UNITS[1], FIX, "enable", *UNITS)
        systemctl(module, UNITS[1], FIX, "start", UNITS[0])
    return bool(waiting)


def refresh_now(module):
    expect_success(module, UNITS[1], FIX, ["systemctl", "restart", UNITS[1]], restart())


def is_current(wrong):
    """Is the specification, with these faults, what nvidia-ctk gives now?"""
    return not wrong and cdi_spec.same(read(SPEC), generated())


def refresh(module, driver, gpus):
    """Has the specification written when it is not what it would be now; True when it became another."""
    uuids, before = cdi_spec.uuids(gpu_information()), read(SPEC)
    if is_current(faults(before, devices()[0], driver, gpus, uuids)):
        return False
    refresh_now(module)
    names, error = devices()
    left = faults(read(SPEC), names, driver, gpus, uuids) or ([error] if error else [])
    if left:
        fail(
            module,
            "The CDI specification is not right after a refresh: {}".format("; ".join(left)),
            f"nvidia-ctk --debug cdi list and journalctl -u {UNITS[1]} on the host say more.",
            "; ".join(left),
        )
    # A unit with options of its owner's own is the one that counts.
    return not cdi_spec.same(before, read(SPEC))


def main():
    module = AnsibleModule(
        argument_spec={
            "engine": {"type": "str", "choices": ["docker", "podman"], "required": True},
            "full_cdi_from": {"type": "str", "required": True},
            "drop_in": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    driver, gpus = loaded_version(), len(pci_gpus())
    if module.check_mode and not (driver and glob.glob("/usr/bin/nvidia-ctk")):
        module.exit_json(changed=True, devices=[], driver_version="", files=[], shared=[])
    if not driver:
        fail(
            module,
            "No NVIDIA driver is loaded",
            "Run the role nvidia_driver before this one, or reboot after its installation.",
        )
    flagged = set_flag(engine_is_old(module.params["engine"], module.params["full_cdi_from"]), module.check_mode)
    added = add_drop_in(module.params["drop_in"], module.check_mode)
    changed = bool(enable(module)) | bool(set_aside(module.check_mode)) | flagged | added
    if module.check_mode:
        wrong = faults(read(SPEC), devices()[0], driver, gpus, cdi_spec.uuids(gpu_information()))
        changed = changed or not is_current(wrong) or settle_rights(SPEC, 0o644, True)
    else:
        if flagged:
            refresh_now(module)
        changed |= refresh(module, driver, gpus)
        changed |= settle_rights(SPEC, 0o644, False)
    if os.path.exists(SETTINGS):
        changed |= settle_rights(SETTINGS, 0o644, module.check_mode)
    files = [path for path in (SPEC, DROP_IN, SETTINGS) if os.path.exists(path)]
    module.exit_json(changed=changed, devices=devices()[0], driver_version=driver, files=files, shared=[SPEC, SETTINGS])


if __name__ == "__main__":
    main()
