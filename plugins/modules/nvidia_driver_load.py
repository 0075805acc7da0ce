#!/usr/bin/python
"""Ansible module: the installed NVIDIA driver in the kernel, without a reboot where that is possible."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_driver_load
short_description: Loads the NVIDIA kernel module, or replaces the loaded one, and proves that it works
description:
  - An initramfs that would load nouveau at boot, though a file forbids that since, is rebuilt first.
  - When the wanted version is loaded, nothing happens. When none is loaded, nouveau is unloaded and the
    module loaded.
  - When another version is loaded, those that use the GPUs are stopped (containers, units, the driver's
    daemons), the modules unloaded in order, the new ones loaded, the CDI specification refreshed, and those
    that were stopped started again.
  - Where that cannot be done, what was stopped is started again and RV(reboot_needed) says why only a
    reboot will help.
  - Ends with the proof that installed package, loaded module, user-space library and nvidia-smi name the same
    version, and that nvidia-smi shows each GPU of the PCI bus.
options:
  version:
    description: Version that must be loaded, as in C(580.173.02).
    type: str
    required: true
  package:
    description: The package whose version stands for the installed driver.
    type: str
    default: nvidia-open
  flavour:
    description: Flavour that the loaded module must have, C(open) or C(proprietary); empty where it does not matter.
    type: str
    default: ""
  blacklist:
    description: The file that keeps nouveau from loading; the initramfs must be newer than it.
    type: path
    default: /etc/modprobe.d/nvidia-driver.conf
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Load the installed driver
  nvidia_driver_load:
    version: 580.173.02
"""

RETURN = r"""
loaded_version:
  description: The version in the kernel afterwards.
  type: str
  returned: success
mig:
  description: PCI addresses of the GPUs that have MIG on, once the driver works.
  type: list
  returned: success
reboot_needed:
  description: Why only a reboot can load the driver; empty when it is loaded.
  type: str
  returned: success
"""

from ansible.module_utils import gpu_clients, package_manager
from ansible.module_utils.apt_transaction import upstream
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kernel import initramfs_stale, rebuild_initramfs
from ansible.module_utils.nvidia_host import (
    library_version,
    loaded_flavour,
    loaded_version,
    mig_enabled,
    module_file_version,
    module_loaded,
    pci_gpus,
    smi_gpus,
)
from ansible.module_utils.outcome import fail, last_line, run

# Users before what they use. nvidia_current*: the names in Debian's own packages.
UNLOAD = (
    "nvidia_drm",
    "nvidia_modeset",
    "nvidia_uvm",
    "nvidia_peermem",
    "nvidia",
    "nvidia_current_drm",
    "nvidia_current_modeset",
    "nvidia_current_uvm",
    "nvidia_current",
)
LOAD = ("nvidia", "nvidia-uvm", "nvidia-modeset")
OPEN_SOURCE_DRIVERS = ("nouveau", "nova_core")
REFUSED = (
    (
        "Key was rejected",
        (
            "Secure Boot refuses the module: enrol the DKMS key (mokutil --import "
            "/var/lib/dkms/mok.pub, reboot) or switch Secure Boot off."
        ),
    ),
    (
        "Required key not available",
        (
            "Secure Boot refuses the module: enrol the DKMS key (mokutil --import "
            "/var/lib/dkms/mok.pub, reboot) or switch Secure Boot off."
        ),
    ),
    (
        "not found in directory",
        (
            "No module was built for the running kernel: install its headers, then dkms autoinstall; "
            "dkms status tells more."
        ),
    ),
    (
        "No such device",
        (
            "The driver finds no GPU that it supports: GPUs older than Turing have no open modules; see"
            " dmesg | grep NVRM."
        ),
    ),
)


def unload(names):
    """Unloads those that are loaded; returns "" or why it stopped."""
    for name in names:
        if module_loaded(name):
            rc, out, err = run(["modprobe", "-r", name], timeout=120)
            if rc != 0 or module_loaded(name):
                return last_line(err) or last_line(out) or f"{name} stays loaded"
    return ""


def refusal(text):
    """(the line that says why a module does not load, what to do about it)."""
    for line in text.splitlines():
        for known, fix in REFUSED:
            if known in line:
                return line.strip(), fix
    return last_line(text), "See dmesg | grep -i nvidia, and dkms status."


def load(module):
    """Loads the modules; only the first must succeed, the others are not in every build."""
    rc, out, err = run(["modprobe", LOAD[0]], timeout=300)
    if rc != 0:
        said, fix = refusal(err + out)
        fail(module, f"The NVIDIA module does not load: {said}", fix, said)
    for name in LOAD[1:]:
        run(["modprobe", name], timeout=120)


def replace(module):
    """Swaps the loaded module for the installed one. Returns "" or why a reboot is needed."""
    containers, units, others = gpu_clients.clients()
    if others:
        return "{} uses the GPU and belongs to no unit or container".format(", ".join(others))
    units = sorted(set(units) | set(gpu_clients.active(gpu_clients.DAEMONS)))
    problem = gpu_clients.stop(containers, units) or unload(UNLOAD)
    if not problem:
        load(module)
        if run(["systemctl", "is-enabled", "--quiet", "nvidia-cdi-refresh.service"])[0] == 0:
            run(["systemctl", "restart", "nvidia-cdi-refresh.service"], timeout=120)
    failed = gpu_clients.start(containers, units)
    if failed and not problem:
        fail(
            module,
            f"The new driver is loaded, but what used the GPU does not start: {failed}",
            "Look at its log on the host.",
        )
    return problem


def bring(module, version):
    """Why a reboot is needed, or "" when the version is loaded."""
    problem = unload(OPEN_SOURCE_DRIVERS)
    if problem:
        return "nouveau cannot be unloaded: " + problem
    if loaded_version():
        problem = replace(module)
    else:
        load(module)
    if problem:
        return f"driver {loaded_version()} cannot be unloaded: {problem}"
    if loaded_version() != version:
        on_disk = module_file_version()
        fail(
            module,
            "The kernel has driver {} although {} is installed".format(loaded_version() or "none", version),
            ("The module file is of version %s: dkms autoinstall --force builds it anew; dkms status tells more.")
            % (on_disk or "unknown"),
            loaded_version(),
        )
    flavour = module.params["flavour"]
    if flavour and loaded_flavour() != flavour:
        fail(
            module,
            "The kernel has the {} module although the {} one is installed".format(
                loaded_flavour() or "unknown", flavour
            ),
            "Another package's module is in the way: modinfo -F license nvidia, dkms status, dpkg -l '*nvidia*dkms*'.",
            loaded_flavour(),
        )
    return ""


def forget_nouveau(module):
    """Rebuilds an initramfs that would load nouveau; True when that was needed."""
    if not initramfs_stale("nouveau", module.params["blacklist"]):
        return False
    if not module.check_mode:
        command, said = rebuild_initramfs()
        if said:
            fix = f"Run {command} on the host until it ends well; a full /boot is the usual cause."
            fail(module, f"The initramfs cannot be rebuilt without nouveau: {said}", fix, said)
    return True


def prove(module):
    """Fails unless all that has a version of the driver has the same, and every GPU answers; the GPUs."""
    versions = package_manager.installed()
    package = upstream(versions.get(module.params["package"], ""))
    cards, error = smi_gpus()
    gpus, library, loaded = pci_gpus(), library_version(), loaded_version()
    if {package, library, loaded, *(card["driver_version"] for card in cards)} == {loaded} and len(cards) == len(gpus):
        return cards
    return fail(
        module,
        f"The driver is not coherent: installed {package or 'none'}, loaded {loaded or 'none'}, "
        f"library {library or 'none'}, nvidia-smi shows {len(cards)} of {len(gpus)} GPUs"
        + (f": {error}" if error else ""),
        "Look at dmesg | grep -E 'NVRM|Xid' for a GPU that does not start; where versions differ, another "
        "installation is in the way (dpkg -l '*nvidia*' or rpm -qa '*nvidia*', ldconfig -p | grep libnvidia-ml)",
        error,
    )


def main():
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "package": {"type": "str", "default": "nvidia-open"},
            "flavour": {"type": "str", "default": ""},
            "blacklist": {"type": "path", "default": "/etc/modprobe.d/nvidia-driver.conf"},
        },
        supports_check_mode=True,
    )
    version, flavour, reboot_needed = module.params["version"], module.params["flavour"], ""
    rebuilt = forget_nouveau(module)
    loaded = loaded_version() != version or bool(flavour and loaded_flavour() != flavour)
    if loaded and not module.check_mode:
        reboot_needed = bring(module, version)
    cards = prove(module) if not (module.check_mode or reboot_needed) else smi_gpus()[0] if loaded_version() else []
    module.exit_json(
        changed=rebuilt or loaded,
        loaded_version=loaded_version(),
        mig=mig_enabled(cards),
        reboot_needed=reboot_needed,
    )


if __name__ == "__main__":
    main()
