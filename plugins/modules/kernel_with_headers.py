#!/usr/bin/python
"""Ansible module: a kernel whose headers can be had, where those of the running one have vanished from the archive."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_with_headers
short_description: Brings the kernel up to date where a driver cannot be built for the running one
description:
  - DKMS builds the driver with the headers of the running kernel. Archives keep those of current kernels only.
  - Where the headers are installed, or can be, nothing happens. Where they cannot, the newest kernel of the flavour that
    is installed comes, with its headers, in a transaction of its own; RV(reboot_needed) says that it must be booted.
options:
  lock_timeout_s:
    description: How long to wait for another program to finish with the package manager, seconds.
    type: int
    default: 600
extends_documentation_fragment:
  - check_mode
"""

EXAMPLES = r"""
- name: Have a kernel that the driver can be built for
  kernel_with_headers:
"""

RETURN = r"""
reboot_needed:
  description: Why the host must be rebooted before the driver can be built; empty where it need not.
  type: str
  returned: success
"""

import platform

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.boot import next_kernel
from ansible.module_utils.boot.kernel import headers
from ansible.module_utils.host.outcome import fail, last_line, run
from ansible.module_utils.packages import families
from ansible.module_utils.packages.apt import dpkg
from ansible.module_utils.preflight.host import apt_knows


def to_be_had(release):
    """Whether the headers of this kernel are there or in the archive."""
    return next_kernel.has_headers(release) or OFFERED[families.here().name](release)


def offered_deb(release):
    return apt_knows("linux-headers-" + release)[0]


def offered_rpm(release):
    return run(["dnf", "-q", "list", "--showduplicates", f"kernel-devel-{release}"], timeout=300)[0] == 0


def newest_rpm(module):
    """The command that brings the newest kernel and its headers."""
    return ["dnf", "-y", "install", "--best", "kernel", "kernel-devel", "kernel-headers"]


def newest_deb(module):
    """The same, with new lists before it."""
    run(["apt-get", "update", "-q"], timeout=600, env=dpkg.environment())
    metas = [name for name in headers(dpkg.packages()) if not name.endswith(platform.release())]
    metas = [name for name in metas if not any(name.endswith(kernel) for kernel in next_kernel.installed())]
    if not metas:
        fail(
            module,
            f"No headers of the running kernel {platform.release()} can be had, and no package brings newer kernels",
            "Install the distribution's kernel (linux-image-amd64, linux-image-generic) and reboot; for a kernel of "
            "your own install its headers. Then run again.",
            platform.release(),
        )
    images = [name.replace("linux-headers-", "linux-image-", 1) for name in metas]
    lock = f"DPkg::Lock::Timeout={module.params['lock_timeout_s']}"
    return ["apt-get", "-y", "--no-remove", "--allow-change-held-packages", "-o", lock, "install", *images, *metas]


OFFERED = {"apt": offered_deb, "dnf": offered_rpm}
NEWEST = {"apt": newest_deb, "dnf": newest_rpm}


def update(module):
    """Brings it; fails where the kernel that boots next is still one without headers."""
    command = NEWEST[families.here().name](module)
    rc, out, err = run(command, timeout=3600, env=dpkg.environment())
    coming = next_kernel.booting()
    if rc != 0 or coming == platform.release() or not next_kernel.has_headers(coming):
        reported = last_line(err) or last_line(out) if rc else f"kernel {coming} boots next"
        fix = "Bring the kernel up to date by hand, with its headers; reboot; then run again."
        fail(module, f"No kernel with headers could be installed ({' '.join(command)}): {reported}", fix, reported)


def main():
    module = AnsibleModule(argument_spec={"lock_timeout_s": {"type": "int", "default": 600}}, supports_check_mode=True)
    release, why = platform.release(), ""
    if not to_be_had(release):
        why = f"the headers of the running kernel {release} are no longer in the archive"
        # An earlier run may have ended between the installation and the reboot.
        ready = next_kernel.booting() != release and next_kernel.has_headers(next_kernel.booting())
        if not ready and not module.check_mode:
            update(module)
    module.exit_json(changed=bool(why), reboot_needed=why)


if __name__ == "__main__":
    main()
