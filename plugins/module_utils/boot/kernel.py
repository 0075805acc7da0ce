"""The kernels of a host: the headers that modules for them are built with, or packages with built ones."""

import platform

from ansible.module_utils.boot import next_kernel
from ansible.module_utils.packages.apt import dpkg

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
    """Packages with the headers for the running kernel, the one that boots next, and those that meta packages will bring."""
    kernels = [name for name in _kernels(kernel) if not next_kernel.has_headers(name)]
    return ["linux-headers-" + name for name in [*kernels, *flavours(known)]]


def modules(prefix, known, kernel=None):
    """Packages with modules for the running kernel, the one that boots next, and those to come; none without a prefix.

    Ubuntu's meta package `virtual` brings the kernel `generic`, and no modules have its name.
    """
    names = [*_kernels(kernel), *(flavour.replace("virtual", "generic") for flavour in flavours(known))]
    return [f"{prefix}-{name}" for name in dict.fromkeys(names)] if prefix else []


def _kernels(running):
    return list(dict.fromkeys([running or platform.release(), next_kernel.booting()]))


def rpm_headers(kernel=None, modules="/lib/modules"):
    """Packages with the headers for the running kernel where rpm has the packages; [] where they are there.

    Later kernels bring theirs: dnf keeps the headers of several kernels beside each other, as it keeps the kernels.
    """
    kernel = kernel or platform.release()
    if next_kernel.has_headers(kernel, modules):
        return []
    version, _, architecture = kernel.rpartition(".")
    if "uek" in version:
        return ["kernel-uek-devel=" + version]
    # From EL 9 on the package that has kernel and headers keep step.
    name = "kernel-devel" if ".el8" in version or not architecture else "kernel-devel-matched"
    return [f"{name}={version}", "kernel-headers"]
