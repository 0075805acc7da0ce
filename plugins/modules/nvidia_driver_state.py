#!/usr/bin/python
"""Ansible module: reads everything about a host's NVIDIA driver at once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_driver_state
short_description: Reads what driver is installed, loaded and in use
description:
  - Read-only; the driver role decides by it before it acts and proves by it that it has succeeded.
options:
  package:
    description: The package whose version stands for the installed driver.
    type: str
    default: nvidia-open
  blacklist:
    description: The file that keeps nouveau from loading; the initramfs must be newer than it.
    type: path
    default: /etc/modprobe.d/nvidia-driver.conf
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Read the driver's state
  nvidia_driver_state:
  register: __nvidia_driver_state
"""

RETURN = r"""
state:
  description:
    - kernel, gpus (on the PCI bus), package_version, module_file_version, loaded_version,
      library_version, smi (one dict a GPU), smi_error, headers (packages to install), initramfs_stale;
      versions come without package revision, empty for none.
  type: dict
  returned: success
"""

import os
import platform

from ansible.module_utils import dpkg, nvidia_host
from ansible.module_utils.apt_transaction import upstream
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.outcome import run


def headers(installed, kernel):
    """Packages that give DKMS headers: for the running kernel, and for those that kernel meta packages
    will bring.
    """
    metas = [
        name.replace("linux-image-", "linux-headers-", 1)
        for name in sorted(installed)
        if name.startswith("linux-image-")
        and not any(character.isdigit() for character in name.replace("amd64", "").replace("arm64", ""))
    ]
    running = [] if os.path.isdir(f"/lib/modules/{kernel}/build") else ["linux-headers-" + kernel]
    return running + metas


def initramfs_stale(kernel, blacklist):
    """

    ould the initramfs load nouveau at boot? Only an image that holds nouveau and is older than the
    blacklist would.
    """
    image = "/boot/initrd.img-" + kernel
    if not os.path.exists(image):
        return False
    if os.path.exists(blacklist) and os.path.getmtime(image) >= os.path.getmtime(blacklist):
        return False
    rc, out, _err = run(["lsinitramfs", image], timeout=120)
    return rc == 0 and "/nouveau.ko" in out


def look(package, blacklist):
    kernel = platform.release()
    installed = dpkg.installed(dpkg.packages())
    smi, smi_error = nvidia_host.smi_gpus()
    return {
        "kernel": kernel,
        "gpus": nvidia_host.pci_gpus(),
        "package_version": upstream(installed[package]) if package in installed else "",
        "module_file_version": nvidia_host.module_file_version(),
        "loaded_version": nvidia_host.loaded_version(),
        "library_version": nvidia_host.library_version(),
        "smi": smi,
        "smi_error": smi_error,
        "headers": headers(installed, kernel),
        "initramfs_stale": initramfs_stale(kernel, blacklist),
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "package": {"type": "str", "default": "nvidia-open"},
            "blacklist": {"type": "path", "default": "/etc/modprobe.d/nvidia-driver.conf"},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, state=look(module.params["package"], module.params["blacklist"]))


if __name__ == "__main__":
    main()
