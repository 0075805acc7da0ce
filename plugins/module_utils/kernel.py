"""The kernels of a host: the headers that modules for them are built with, and what the initramfs would load."""

import os
import platform

from ansible.module_utils import dpkg
from ansible.module_utils.outcome import last_line, run

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


# By the name of an image in /boot: what lists its files, and what makes it anew.
INITRAMFS = {
    "initrd.img-%s": (["lsinitramfs"], ["update-initramfs", "-u", "-k", "%s"]),
    "initramfs-%s.img": (["lsinitrd"], ["dracut", "--force", "--kver", "%s"]),
}


def image_of(boot="/boot"):
    """(path, command that lists it, command that makes it) of the running kernel's initramfs; None where there is none."""
    for name, (lists, makes) in INITRAMFS.items():
        path = os.path.join(boot, name % platform.release())
        if os.path.exists(path):
            return path, [*lists, path], [word.replace("%s", platform.release()) for word in makes]
    return None


def initramfs_stale(module, blacklist, boot="/boot"):
    """Would the initramfs load this module at boot? Only an image that holds it and is older than the blacklist."""
    image, lists, _makes = image_of(boot) or ("", [], [])
    if not image:
        return False
    if os.path.exists(blacklist) and os.path.getmtime(image) >= os.path.getmtime(blacklist):
        return False
    rc, out, _err = run(lists, timeout=120)
    return rc == 0 and f"/{module}.ko" in out


def rebuild_initramfs(boot="/boot"):
    """(the command, "" or why it failed). Where grubby keeps the kernels' arguments, nouveau goes there too."""
    _image, _lists, command = image_of(boot)
    rc, out, err = run(command, timeout=1800)
    if rc == 0 and command[0] == "dracut":
        # An image that was made elsewhere, such as the rescue image, has its own copy of the module.
        keep_off = "rd.driver.blacklist=nouveau,nova_core modprobe.blacklist=nouveau,nova_core"
        argv = ["grubby", "--update-kernel=ALL", "--args=" + keep_off]
        rc, out, err = run(argv, timeout=120)
        command = argv if rc else command
    return " ".join(command), (last_line(err) or last_line(out)) if rc else ""
