"""That the next boot finds the driver: a module for the kernel that will boot, which that kernel takes, and its initramfs."""

import glob
import os
import platform
import re

from ansible.module_utils.boot import initramfs, next_kernel, secure_boot
from ansible.module_utils.host.outcome import last_line, run

DKMS = re.compile(r"^(nvidia[\w-]*)[/,] ?([\d.]+)", re.MULTILINE)
AGAIN = "dkms build --force nvidia/{version} -k {kernel} && dkms install --force nvidia/{version} -k {kernel}"
UNSIGNED = "apt-get install openssl (or dnf), " + AGAIN
BUILD_S = 1800  # a module takes two minutes to build, on a busy server ten


class Stranded(Exception):
    """The host would come up without a driver: `what` is wrong, the `fix`, and the `value` seen."""

    def __init__(self, what, fix, value=None):
        super().__init__(what)
        self.what, self.fix, self.value = what, fix, value


def ready(version, blacklist, check_mode):
    """Makes the running kernel and the one that boots next ready for this driver; returns what was done, or would be.

    Nothing that runs is touched. Raises Stranded.
    """
    done = []
    coming = next_kernel.booting()
    for kernel in dict.fromkeys([platform.release(), coming]):
        if next_kernel.module_version(kernel) != version:
            done.append(f"module for kernel {kernel}")
            if not check_mode:
                _build(kernel, version)
        if not check_mode:
            _accepted(kernel, version)
        why = initramfs.stale(kernel, blacklist, _module_file(kernel))
        if why:
            done.append(f"initramfs of {kernel}: {why}")
            if not check_mode:
                _renew(kernel, why)
    return done


def _build(kernel, version):
    """Has DKMS build the module; what is there afterwards counts, not what DKMS says."""
    builds = DKMS.findall(run(["dkms", "status"])[1])
    if not next_kernel.has_headers(kernel) and not next_kernel.module_version(kernel):
        raise Stranded(
            f"kernel {kernel} {_when(kernel)} and has no NVIDIA module, and no headers to build one with",
            f"Install them: apt-get install linux-headers-{kernel}, or dnf install kernel-devel-{kernel}; where the "
            f"distribution builds the modules, linux-modules-nvidia-BRANCH-server-open-{kernel}; or remove that kernel. "
            "Then run again.",
            kernel,
        )
    rc, out, err = run(["dkms", "autoinstall", "-k", kernel], timeout=BUILD_S)
    for name, built in sorted(set(builds)):
        if built == version and next_kernel.module_version(kernel) != version:
            rc, out, err = run(["dkms", "install", "--force", f"{name}/{built}", "-k", kernel], timeout=BUILD_S)
    seen = next_kernel.module_version(kernel)
    if seen != version:
        reported = stumbled(err or out, version, kernel) if rc else ""
        raise Stranded(
            f"kernel {kernel} {_when(kernel)} and has {f'module {seen}' if seen else 'no NVIDIA module'}, although "
            f"driver {version} is installed" + (f": {reported}" if reported else ""),
            f"See dkms status and /var/lib/dkms/nvidia*/{version}/build/make.log: a kernel newer than the driver knows "
            "needs a newer driver (dgctl upgrade --driver), or an older kernel to boot.",
            seen or "none",
        )


def stumbled(reported, version, kernel, tree="/var/lib/dkms"):
    """What a build stumbled over: the compiler's first error, else the first that DKMS said, else its last line.

    The last lines of DKMS 3.2 only say where to read.
    """
    for path in sorted(glob.glob(os.path.join(tree, "nvidia*", version, "build", "make.log"))):
        with open(path, encoding="utf-8", errors="replace") as stream:
            lines = stream.readlines()
        found = next((line.strip() for line in lines if " error: " in line), "")
        if found and f" for kernel {kernel} " in lines[0]:  # not what is left of another kernel's build
            return found
    errors = [line.strip() for line in reported.splitlines() if line.startswith("Error!")]
    return errors[0] if errors else last_line(reported)


def _when(kernel):
    return "is running" if kernel == platform.release() else "boots next"


def _accepted(kernel, version):
    """Under Secure Boot the kernel must know who signed the module."""
    if not secure_boot.enabled():
        return
    signer = next_kernel.module_signer(kernel)
    if secure_boot.trusts(signer, next_kernel.module_key(kernel)):
        return
    ways = secure_boot.ways_out(secure_boot.dkms_key())
    if not signer:
        ways = f"have DKMS sign it, which needs openssl: {UNSIGNED.format(version=version, kernel=kernel)}; and {ways}"
    elif secure_boot.enrolled(secure_boot.dkms_key()):  # the key that is enrolled is another than this module's
        ways = f"have DKMS sign it with the key that is enrolled: {AGAIN.format(version=version, kernel=kernel)}"
    raise Stranded(
        f"Secure Boot is on, and kernel {kernel} would refuse the NVIDIA module, signed by {signer or 'nobody'}",
        f"The loaded driver was left as it is; before the next boot {ways}.",
        signer or "not signed",
    )


def _module_file(kernel):
    rc, out, _err = run(["modinfo", "-k", kernel, "-n", "nvidia"])
    return out.strip() if rc == 0 else ""


def _renew(kernel, why):
    error = initramfs.rebuild(kernel)
    if error:
        raise Stranded(
            f"the initramfs of kernel {kernel} cannot be rebuilt, although {why}: {error}",
            "Make it by hand on the host until that ends well (update-initramfs -u, dracut --force); a full /boot is "
            "the usual cause.",
            error,
        )
