"""The kernels of a host: the headers that modules for them are built with, and what the initramfs would load."""

import os
import platform

from ansible.module_utils import dpkg
from ansible.module_utils.outcome import run


def headers(known, kernel=None):
    """Packages with the headers for the running kernel, and for those that kernel meta packages will bring.

    known: packages as dpkg has them.
    """
    kernel = kernel or platform.release()
    metas = [
        name.replace("linux-image-", "linux-headers-", 1)
        for name in sorted(dpkg.installed(known))
        if name.startswith("linux-image-")
        and not any(character.isdigit() for character in name.replace("amd64", "").replace("arm64", ""))
    ]
    running = [] if os.path.isdir(f"/lib/modules/{kernel}/build") else ["linux-headers-" + kernel]
    return running + metas


def rpm_headers(kernel=None, modules="/lib/modules"):
    """Packages with the headers for the running kernel where rpm has the packages; [] where they are there.

    Later kernels bring theirs: dnf keeps the headers of several kernels beside each other, as it keeps the kernels.
    """
    kernel = kernel or platform.release()
    if os.path.isdir(f"{modules}/{kernel}/build"):
        return []
    version, _, architecture = kernel.rpartition(".")
    if "uek" in version:
        return ["kernel-uek-devel=" + version]
    # From EL 9 on the package that has kernel and headers keep step.
    name = "kernel-devel" if ".el8" in version or not architecture else "kernel-devel-matched"
    return [f"{name}={version}", "kernel-headers"]


def initramfs_stale(module, blacklist, boot="/boot"):
    """Would the initramfs load this module at boot? Only an image that holds it and is older than the blacklist."""
    image = os.path.join(boot, "initrd.img-" + platform.release())
    if not os.path.exists(image):
        return False
    if os.path.exists(blacklist) and os.path.getmtime(image) >= os.path.getmtime(blacklist):
        return False
    rc, out, _err = run(["lsinitramfs", image], timeout=120)
    return rc == 0 and f"/{module}.ko" in out
