"""The doctor on the kernel's log: Xids, the numbers under which NVIDIA's driver reports what went wrong."""

from ansible.module_utils.doctor.check import Check, healthy, unhealthy, unknown
from ansible.module_utils.nvidia.xids import REBOOT, XID, XIDS


def xids(lines):
    """[(GPU's address as logged, number, line)] of the Xids in the kernel's log."""
    found = [(match, line.strip()) for line in lines for match in [XID.search(line)] if match]
    return [(match.group(1), int(match.group(2)), line) for match, line in found]


def xid(host):
    lines = host.log()
    if lines is None:
        reported = host.reported("log")
        return unknown(f"the kernel's log cannot be read: {reported.why if reported else 'not asked'}")
    found = xids(lines)
    grave = [(number, address, line) for address, number, line in found if number in XIDS]
    if not grave:
        harmless = ", ".join(map(str, sorted({number for _, number, _ in found})))
        return healthy("none that matters" + (f" (there were {harmless})" if harmless else ""))
    first = next(number for number in XIDS if any(number == other for other, _, _ in grave))
    places = sorted({address for number, address, _ in grave if number == first})
    last = [line for number, _, line in grave if number == first][-1]
    others = sorted({number for number, _, _ in grave} - {first})
    also = f" (also {', '.join(map(str, others))})" if others else ""
    cause, fix = XIDS[first]
    return unhealthy(f"Xid {first} at {', '.join(places)}{also}: {last}", cause, fix)


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
