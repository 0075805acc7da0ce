"""The doctor on the kernel's log: Xids, the numbers under which NVIDIA's driver reports what went wrong."""

import re

from ansible.module_utils.doctor.check import Check, sick, unknown, well

XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)\): (\d+)")
REBOOT = "drain the server, then reboot it, cold if that does not help"
REPLACE = REBOOT + "; if it comes back: replace the GPU"
# Xids after which a GPU is not to be trusted: what it means, what to do. The worst first. Those that a program causes
# (13, 31, 43, 45) and those that only inform (63: a row was remapped) are left out: the host is not sick of them.
# Source: docs.nvidia.com/deploy/xid-errors and gpu-debug-guidelines, read 2026-11.
XIDS = {
    79: ("the GPU fell off the bus: power, heat, seat or the card itself", REPLACE),
    48: ("an uncorrectable error in the GPU's memory", REPLACE),
    64: ("a broken row of memory could not be taken out of use", "replace the GPU"),
    95: ("an uncorrectable memory error that reached other programs", REPLACE),
    94: ("an uncorrectable memory error that hit one program", REPLACE),
    140: ("an uncorrectable memory error, not recovered", REPLACE),
    119: (
        "the GPU's own processor (GSP) did not answer",
        REBOOT + "; a newer driver of the branch may have it corrected",
    ),
    120: ("the GPU's own processor (GSP) failed", REBOOT + "; a newer driver of the branch may have it corrected"),
    62: ("a controller inside the GPU halted", REPLACE),
    143: ("the GPU could not be initialised", REPLACE),
    74: ("an NVLink failed", REBOOT + "; if it comes back: look at the bridge or the board's NVSwitches"),
}


def xids(lines):
    """[(GPU's address as logged, number, line)] of the Xids in the kernel's log."""
    found = [(match, line.strip()) for line in lines for match in [XID.search(line)] if match]
    return [(match.group(1), int(match.group(2)), line) for match, line in found]


def xid(host):
    lines = host.log()
    if lines is None:
        said = host.said("log")
        return unknown(f"the kernel's log cannot be read: {said.why if said else 'not asked'}")
    found = xids(lines)
    grave = [(number, address, line) for address, number, line in found if number in XIDS]
    if not grave:
        harmless = ", ".join(map(str, sorted({number for _, number, _ in found})))
        return well("none that matters" + (f" (there were {harmless})" if harmless else ""))
    first = next(number for number in XIDS if any(number == other for other, _, _ in grave))
    places = sorted({address for number, address, _ in grave if number == first})
    last = [line for number, _, line in grave if number == first][-1]
    others = sorted({number for number, _, _ in grave} - {first})
    also = f" (also {', '.join(map(str, others))})" if others else ""
    cause, cure = XIDS[first]
    return sick(f"Xid {first} at {', '.join(places)}{also}: {last}", cause, cure)


CHECKS = (
    Check(
        "xid", xid,
        "Xids in the kernel's log of this boot (dmesg) after which a GPU is not to be trusted",
        "none since the boot",
        "the driver reported an error of the hardware",
        REBOOT,
        stands_on=(),
    ),
)  # fmt: skip
