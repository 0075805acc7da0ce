#!/usr/bin/python
"""Ansible module: the installed NVIDIA driver in the kernel, without a reboot where that is possible."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_driver_load
short_description: Loads the NVIDIA kernel module, or replaces the loaded one, and proves that it works
description:
  - First it makes sure of the next boot, for the running kernel and for the one that boots next; DKMS builds a module
    that is missing; under Secure Boot its signer must be one that the kernel accepts; an initramfs that would load
    nouveau or an older module is rebuilt. Where that fails nothing that runs was touched.
  - When the wanted version is loaded, nothing happens. When none is loaded, nouveau is unloaded and the
    module loaded.
  - When another version is loaded, those that use the GPUs are stopped (containers, units, the driver's
    daemons), the modules unloaded in order, the new ones loaded, the CDI specification refreshed, and those
    that were stopped started again; also those that an earlier run stopped, which was killed then.
  - Where that cannot be done, what was stopped is started again and RV(reboot_needed) says why only a
    reboot will help.
  - Last it writes O(mark) when another version is loaded than the mark says, so that containers which were made with the
    libraries of the earlier one are recreated.
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
  mark:
    description: The file that says which version is loaded. It is as old as the containers may be.
    type: path
    default: /var/lib/deepgram/nvidia-driver
extends_documentation_fragment:
  - check_mode
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
prepared:
  description: What was done for the next boot.
  type: list
  returned: success
reboot_needed:
  description: Why only a reboot can load the driver; empty when it is loaded.
  type: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.boot import next_boot
from ansible.module_utils.boot.secure_boot import dkms_key, ways_out
from ansible.module_utils.host.outcome import fail, last_line, run
from ansible.module_utils.host.whole_file import is_so, write
from ansible.module_utils.nvidia import cdi_refresh, driver_reload
from ansible.module_utils.nvidia.host import (
    library_version,
    loaded_flavour,
    loaded_version,
    mig_enabled,
    module_file_version,
    pci_gpus,
    smi_gpus,
)
from ansible.module_utils.packages import manager as packages_manager
from ansible.module_utils.packages.versions import upstream

OPEN_SOURCE_DRIVERS = ("nouveau", "nova_core")
SECURE_BOOT = "Secure Boot refuses the module: "
REFUSED = (
    ("Key was rejected", SECURE_BOOT),
    ("Required key not available", SECURE_BOOT),
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


def refusal(text):
    """(the line that says why a module does not load, what to do about it)."""
    for line in text.splitlines():
        for known, fix in REFUSED:
            if known in line:
                return line.strip(), fix + (ways_out(dkms_key()) if fix == SECURE_BOOT else "")
    return last_line(text), "See dmesg | grep -i nvidia, and dkms status."


def load(module):
    """Loads the modules; only the first must succeed, the others are not in every build."""
    rc, out, err = run(["modprobe", driver_reload.LOAD[0]], timeout=300)
    if rc != 0:
        reported, fix = refusal(err + out)
        fail(module, f"The NVIDIA module does not load: {reported}", fix, reported)
    for name in driver_reload.LOAD[1:]:
        run(["modprobe", name], timeout=120)
    cdi_refresh.restart_if_enabled()


def bring(module, version):
    """Why a reboot is needed, or "" when the version is loaded."""
    problem = driver_reload.unload(OPEN_SOURCE_DRIVERS)
    if problem:
        return "nouveau cannot be unloaded: " + problem
    if not loaded_version():
        load(module)
    elif not fits(module, version):
        problem = driver_reload.replace(lambda: load(module))
    failed = driver_reload.resume()
    if problem:
        return f"driver {loaded_version()} cannot be unloaded: {problem}"
    if failed:
        what = f"The new driver is loaded, but what used the GPU does not start: {failed}"
        fail(module, what, "Look at its log on the host; the next run starts it again.")
    require(module, version)
    return ""


def fits(module, version):
    """Whether this version is in the kernel, in the flavour that is wanted."""
    flavour = module.params["flavour"]
    return loaded_version() == version and (not flavour or loaded_flavour() == flavour)


def require(module, version):
    """Fails unless the wanted version is in the kernel."""
    if loaded_version() != version:
        on_disk = module_file_version()
        fail(
            module,
            "The kernel has driver {} although {} is installed".format(loaded_version() or "none", version),
            ("The module file is of version %s: dkms autoinstall --force rebuilds it; dkms status tells more.")
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


def prepare(module, version):
    """What was done for the next boot, or would be."""
    try:
        return next_boot.ready(version, module.params["blacklist"], module.check_mode)
    except next_boot.Stranded as error:
        fail(module, error.what, error.fix, error.value)


def prove(module):
    """Fails unless all that has a version of the driver has the same, and every GPU answers; the GPUs."""
    versions = packages_manager.installed()
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


def note(version, path):
    """Says in the mark which version is loaded; True when it said another."""
    text = version + "\n"
    if is_so(path, text, 0o644):
        return False
    write(path, text, 0o644)
    return True


def work(module, version):
    """The module's result."""
    prepared = prepare(module, version)
    due = not fits(module, version) or bool(driver_reload.pending())
    reboot_needed, noted, cards = "", False, []
    if module.check_mode:
        cards = smi_gpus()[0] if loaded_version() else []
    else:
        reboot_needed = bring(module, version) if due else ""
    if not module.check_mode and not reboot_needed:
        cards = prove(module)
        noted = note(version, module.params["mark"])
    return {
        "changed": bool(due or prepared or noted),
        "prepared": prepared,
        "loaded_version": loaded_version(),
        "mig": mig_enabled(cards),
        "reboot_needed": reboot_needed,
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "package": {"type": "str", "default": "nvidia-open"},
            "flavour": {"type": "str", "default": ""},
            "blacklist": {"type": "path", "default": "/etc/modprobe.d/nvidia-driver.conf"},
            "mark": {"type": "path", "default": "/var/lib/deepgram/nvidia-driver"},
        },
        supports_check_mode=True,
    )
    module.exit_json(**work(module, module.params["version"]))


if __name__ == "__main__":
    main()
