"""Xids: the numbers under which NVIDIA's driver reports in the kernel's log what went wrong."""

import re

XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)\): (\d+)")
REBOOT = "drain the server, then reboot it, cold if that does not help"
REPLACE = REBOOT + "; if it comes back: replace the GPU"
# Xids after which a GPU is not to be trusted: what it means, what to do. The worst first. Those that a program causes
# (13, 31, 43, 45) and those that only inform (63: a row was remapped) are left out: the host is healthy with them.
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
