"""Secure Boot: is it on, and would the kernel take a module that this key signed? Everything here only reads.

The doctor has asked the programs itself, beside others, and only wants to know what their words mean: `on`, `believed`.
"""

import os
import re

from ansible.module_utils.host.outcome import run

STATE, ENROLLED = ("mokutil", "--sb-state"), ("mokutil", "--list-enrolled")
VARIABLE = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
# The key that DKMS signs with, the first that is there: DKMS 3's own, and Ubuntu's.
DKMS_KEYS = ("/var/lib/dkms/mok.pub", "/var/lib/shim-signed/mok/MOK.der")
# Who signs modules with a key that his own kernels carry.
VENDORS = re.compile(
    r"Canonical Ltd\.|Debian Secure Boot|Red Hat|Rocky (Enterprise|kernel)|Rocky Linux|AlmaLinux|Oracle (America|Linux)"
)
KEYRINGS = "/proc/keys"  # of the kernel: also the key that somebody built his own kernel with


def enabled(variable=VARIABLE):
    """Whether the kernel takes signed modules alone."""
    rc, out, _err = run(list(STATE))
    return on(rc, out, variable)


def on(status, reported, variable):
    """The same by what STATE ended with and said; by the firmware's variable where that is nothing."""
    if status == 0 and "SecureBoot" in reported:
        return "SecureBoot enabled" in reported and "validation is disabled" not in reported
    try:
        with open(variable, "rb") as stream:
            return stream.read()[-1:] == b"\x01"
    except OSError:
        return False


def trusts(signer, serial="", keyrings=KEYRINGS):
    """Whether a module with this signer is loaded; one that nobody signed is not. serial: of the key, as modinfo has it."""
    return bool(signer) and believed(signer, run(list(ENROLLED))[1], _text(keyrings), serial)


def believed(signer, listed, keyrings, serial=""):
    """The same by what ENROLLED said and what the kernel's keyrings have.

    DKMS gives each key that it makes the same name: where one of that name is enrolled, its serial number decides.
    """
    serials = [number for name, number in keys(listed) if name == signer]
    if serials:
        return not serial or any(number in ("", plain(serial)) for number in serials)
    return bool(signer) and (bool(VENDORS.search(signer)) or f" {signer}: " in keyrings)


def keys(listed):
    """[(name, serial number as plain() has it)] of the keys that `mokutil --list-enrolled` told."""
    found = []
    for text in re.split(r"^\[key \d+\]", listed, flags=re.MULTILINE):
        name = re.search(r"Subject:.*?CN ?= ?([^,/\n]+)", text)
        number = re.search(r"Serial Number:(?: \d+ \(0x|\s*)([0-9a-fA-F:]+)", text)
        if name:
            found.append((name.group(1).strip(), plain(number.group(1)) if number else ""))
    return found


def plain(serial):
    """A serial number without colons, zeros before it and capitals."""
    return serial.replace(":", "").lower().lstrip("0")


def dkms_key(exists=os.path.exists):
    """The public key that DKMS signs with; "" where there is none yet."""
    return next((path for path in DKMS_KEYS if exists(path)), "")


def enrolled(key):
    """Whether the firmware's list of the owner's keys has this file's key."""
    return bool(key) and "already enrolled" in "".join(run(["mokutil", "--test-key", key])[1:])


def ways_out(key):
    """What a person can do about an unenrolled key: two ways, and neither needs a change of the firmware's state."""
    return (
        f"either enrol the key at the console: mokutil --import {key or DKMS_KEYS[0]}, reboot, choose 'Enroll MOK' and "
        "give the password that mokutil asked for; or on Ubuntu set nvidia_driver_source: distribution, whose modules "
        "Canonical has signed"
    )


def _text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
