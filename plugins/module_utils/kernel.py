"""The kernels of a host: the headers that modules for them are built with, and what the initramfs would load."""

import os
import platform

from ansible.module_utils import dpkg
from ansible.module_utils.outcome import run

IMAGE = "linux-image-"
NOT_KERNELS = ("unsigned-", "extra-")  # what else begins like a kernel's meta package
NO_IMAGES = ("-dbg", "-dbgsym", "-unsigned", "-template")


def flavours(known):
    """What follows linux-image- in the names of the meta packages that bring kernels: amd64, cloud-amd64, generic, aws ...

    known: packages as dpkg has them. A kernel itself has its version there, a meta package may have one further on.
    """
    names = [name[len(IMAGE) :] for name in sorted(dpkg.installed(known)) if name.startswith(IMAGE)]
    return [
        name
        for name in names
        if not name[:1].isdigit() and not name.startswith(NOT_KERNELS) and not name.endswith(NO_IMAGES)
    ]


def headers(known, kernel=None):
    """Packages with the headers for the running kernel, and for those that kernel meta packages will bring."""
    kernel = kernel or platform.release()
    running = [] if os.path.isdir(f"/lib/modules/{kernel}/build") else ["linux-headers-" + kernel]
    return running + ["linux-headers-" + flavour for flavour in flavours(known)]


def modules(prefix, known, kernel=None):
    """Packages with modules for the running kernel, and for those to come; none without a prefix.

    Ubuntu's meta package `virtual` brings the kernel `generic`, and no modules have its name.
    """
    names = [kernel or platform.release(), *(flavour.replace("virtual", "generic") for flavour in flavours(known))]
    return [f"{prefix}-{name}" for name in dict.fromkeys(names)] if prefix else []


def initramfs_stale(module, blacklist, boot="/boot"):
    """Would the initramfs load this module at boot? Only an image that holds it and is older than the blacklist."""
    image = os.path.join(boot, "initrd.img-" + platform.release())
    if not os.path.exists(image):
        return False
    if os.path.exists(blacklist) and os.path.getmtime(image) >= os.path.getmtime(blacklist):
        return False
    rc, out, _err = run(["lsinitramfs", image], timeout=120)
    return rc == 0 and f"/{module}.ko" in out
