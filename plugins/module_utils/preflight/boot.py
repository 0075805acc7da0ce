"""Preflight checks of what a driver's installation would stumble over: another driver, Secure Boot, the next kernel.

Each function returns a list of findings (see outcome.py) and changes nothing.
"""

import platform

from ansible.module_utils.boot import next_kernel, secure_boot
from ansible.module_utils.host.outcome import finding
from ansible.module_utils.nvidia import driver_leftovers

CHECK_OF = {"run": "earlier .run driver", "source": "driver sources", "packages": "driver sources"}


def leftovers(source, addresses, allowed, find=driver_leftovers.find):
    """What another source of the driver left; only told where the driver's role may remove it."""
    found = find(source, addresses)
    findings = [
        finding(
            CHECK_OF[one["kind"]],
            None if allowed else False,
            one["what"] + (", the nvidia_driver role removes it" if allowed else ""),
            "one source of the driver",
            one["fix"],
        )
        for one in found
    ]
    missing = dict.fromkeys(CHECK_OF[kind] for kind in CHECK_OF if CHECK_OF[kind] not in [f["check"] for f in findings])
    return findings + [finding(check, True, "none", "one source of the driver") for check in missing]


def seen_leftover(findings):
    """Did another source leave something? None where nobody looked for it."""
    verdicts = [found["verdict"] for found in findings if found["check"] in CHECK_OF.values()]
    return any(verdict != "pass" for verdict in verdicts) if verdicts else None


def signer():
    """A module that DKMS built loads under Secure Boot only if the host's own key is enrolled."""
    expected = "off, or the DKMS key enrolled"
    if not secure_boot.enabled():
        return [finding("secure boot", True, "off", expected)]
    key, coming = secure_boot.dkms_key(), next_kernel.booting()
    signed_by, serial = next_kernel.module_signer(coming), next_kernel.module_key(coming)
    # A module that is there counts by its own key; one that is yet to be built, by the key that DKMS has.
    trusted = secure_boot.trusts(signed_by, serial) if signed_by else secure_boot.enrolled(key)
    seen = f"on, {f'DKMS key {key}' if key else 'and DKMS has no key yet:'} not enrolled"
    return [
        finding(
            "secure boot",
            trusted,
            "on, and the module's signer is enrolled" if trusted else seen,
            expected,
            ("" if key else "First make the key: apt-get install dkms mokutil openssl && dkms generate_mok. Then ")
            + f"{secure_boot.ways_out(key)}.",
        )
    ]


def next_boot():
    """Only told: the driver's role has a module built for the kernel that boots next."""
    coming = next_kernel.booting()
    if coming == platform.release():
        return [finding("next kernel", True, f"{coming}, which is running", "the running kernel, or one with headers")]
    return [
        finding(
            "next kernel",
            True if next_kernel.has_headers(coming) else None,
            f"{coming} boots next, {platform.release()} is running",
            "the running kernel, or one with headers",
            f"The nvidia_driver role installs linux-headers-{coming} and has the module built.",
        )
    ]


def without_headers(found, reboot_allowed):
    """The findings, where headers that have vanished are no obstacle: a newer kernel may be installed and booted."""
    if not reboot_allowed:
        return found
    for one in found:
        if one["check"] == "kernel headers" and one["verdict"] == "fail":
            one["verdict"] = "skip"
            one["seen"] += "; the nvidia_driver role installs the newest kernel and reboots"
    return found
