"""The headers that modules for a host's kernels are built with."""

import platform

from ansible.module_utils import dpkg, next_kernel


def headers(known, kernel=None):
    """Packages with the headers for the running kernel, the one that boots next, and those that meta packages will bring.

    known: packages as dpkg has them.
    """
    kernels = dict.fromkeys([kernel or platform.release(), next_kernel.booting()])
    metas = [
        name.replace("linux-image-", "linux-headers-", 1)
        for name in sorted(dpkg.installed(known))
        if name.startswith("linux-image-")
        and not any(character.isdigit() for character in name.replace("amd64", "").replace("arm64", ""))
    ]
    return ["linux-headers-" + name for name in kernels if not next_kernel.has_headers(name)] + metas
