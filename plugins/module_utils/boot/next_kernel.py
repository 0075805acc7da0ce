"""Which kernel a host boots next, and the NVIDIA module that it would find there.

Everything here only reads. Releases are strings as `uname -r` says them; "" stands for none.
"""

import os

from ansible.module_utils.boot import kernels as boot_kernels
from ansible.module_utils.boot.kernels import installed
from ansible.module_utils.host.outcome import run

MODULES = ("nvidia", "nvidia-current")  # the second: the name in Debian's own packages

__all__ = ["booting", "has_headers", "installed", "module_key", "module_signer", "module_version"]


def booting(boot="/boot"):
    """The kernel that boots next; the running one where nothing says so."""
    rc, out, _err = run(["grubby", "--default-kernel"])
    return boot_kernels.booting(boot, out.strip().rpartition("vmlinuz-")[2] if rc == 0 else "")


def module_version(release):
    """Version of the NVIDIA module that modprobe would load under this kernel."""
    return _modinfo(release, "version")


def module_signer(release):
    """Who signed it: the name in the key's certificate."""
    return _modinfo(release, "signer")


def module_key(release):
    """Serial number of the key that it was signed with, such as "3F:0A:C2"."""
    return _modinfo(release, "sig_key")


def has_headers(release, modules="/lib/modules"):
    """Whether a module can be built for this kernel."""
    return os.path.isdir(os.path.join(modules, release, "build"))


def _modinfo(release, field):
    for name in MODULES:
        rc, out, _err = run(["modinfo", "-k", release, "-F", field, name])
        if rc == 0:
            return out.strip()
    return ""
