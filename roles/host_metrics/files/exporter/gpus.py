"""The GPUs: those on the PCI bus, what nvidia-smi tells of each, and the driver's own errors in the kernel's log.

Sources: `nvidia-smi --help-query-gpu`; docs.nvidia.com/deploy/xid-errors.
"""

import glob
import re

import ask

DEVICES = "/sys/bus/pci/devices"
# nvidia-smi's field: metric, what it is, and the factor to the unit in the name.
NUMBERS = {
    "temperature.gpu": ("temperature_celsius", "Temperature of the GPU", 1),
    "utilization.gpu": ("utilization_ratio", "Share of the last period in which the GPU computed", 0.01),
    "memory.used": ("memory_used_bytes", "Memory of the GPU in use", 1 << 20),
    "memory.total": ("memory_total_bytes", "Memory of the GPU", 1 << 20),
    "power.draw": ("power_watts", "Power that the GPU draws", 1),
    "clocks.current.sm": ("sm_clock_hertz", "Clock of the GPU's processors", 1e6),
    "ecc.errors.uncorrected.volatile.total": (
        "memory_errors",
        "Uncorrected memory errors since the driver was loaded",
        1,
    ),
}
FLAGS = {
    "remapped_rows.pending": ("memory_repair_pending", "Rows or pages wait to be taken out of use", "Yes"),
    "retired_pages.pending": ("memory_repair_pending", "Rows or pages wait to be taken out of use", "Yes"),
    "remapped_rows.failure": ("memory_repair_failed", "A broken row could not be taken out of use", "Yes"),
}
SLOWDOWNS = ("hw_slowdown", "hw_thermal_slowdown", "sw_thermal_slowdown", "hw_power_brake_slowdown")
REASON = "clocks_event_reasons."
NAMES = ("index", "uuid", "name", "pci.bus_id", "driver_version")
FIELDS = (*NAMES, *NUMBERS, *FLAGS, *(REASON + name for name in SLOWDOWNS))
FORMAT = "--format=csv,noheader,nounits"
MISMATCH = "Driver/library version mismatch"
XID = re.compile(r"NVRM: Xid \((?:PCI:)?[0-9a-fA-F:.]+\): (\d+)")
CURSOR = "-- cursor: "
# Those after which a GPU is not to be trusted: told as 0 until they come, so that the first is seen as an increase.
GRAVE = ("48", "62", "64", "74", "79", "94", "95", "119", "120", "140", "143")


def figures(page):
    """Everything about the GPUs but the log. Raises ask.Silent when nvidia-smi hangs."""
    page.add("dgctl_gpus_on_bus", "NVIDIA GPUs on the PCI bus", len(on_bus()))
    reported = query()
    page.add(
        "dgctl_driver_mismatch",
        "nvidia-smi finds a driver in the kernel of another version than its own",
        MISMATCH in reported,
    )
    cards = [card for card in map(card_of, reported.splitlines()) if card]
    page.add("dgctl_gpus_answering", "GPUs that nvidia-smi tells of", len(cards))
    for card in cards:
        _card(page, card)


def _card(page, card):
    gpu = card["index"]
    about = {"uuid": card["uuid"], "name": card["name"], "bus_id": card["pci.bus_id"], "driver": card["driver_version"]}
    page.add("dgctl_gpu_info", "Which GPU it is, and which driver it has", 1, gpu=gpu, **about)
    for field, (name, what, factor) in NUMBERS.items():
        value = _number(card[field])
        page.add(f"dgctl_gpu_{name}", what, None if value is None else value * factor, gpu=gpu)
    flags = {}
    for field, (name, what, yes) in FLAGS.items():
        if not _missing(card[field]):
            flags[name] = (what, flags.get(name, (what, False))[1] or card[field] == yes)
    for name, (what, value) in flags.items():
        page.add(f"dgctl_gpu_{name}", what, value, gpu=gpu)
    for reason in SLOWDOWNS:
        value = card[REASON + reason]
        known = None if _missing(value) else value == "Active"
        page.add("dgctl_gpu_slowdown", "Whether the GPU is slowed down for this reason", known, gpu=gpu, reason=reason)


def on_bus():
    """The PCI addresses of NVIDIA's display and 3D controllers."""
    found = []
    for path in sorted(glob.glob(f"{DEVICES}/*/vendor")):
        folder = path.rpartition("/")[0]
        if _read(path) == "0x10de" and _read(f"{folder}/class").startswith("0x03"):
            found.append(folder.rpartition("/")[2])
    return found


def query():
    """nvidia-smi's answer for FIELDS; a driver that does not know one says so, and then nothing else."""
    return ask.run("nvidia-smi", f"--query-gpu={','.join(FIELDS)}", FORMAT)[1]


def card_of(line):
    """{field: value} of a line of the answer; None for another line, such as an error."""
    cells = [cell.strip() for cell in line.split(", ")]
    return dict(zip(FIELDS, cells)) if len(cells) == len(FIELDS) and cells[0].isdigit() else None


class Xids:
    """Counts the Xids in the kernel's log of this boot, reading on from where the last look ended."""

    def __init__(self):
        self.cursor, self.counts = "", dict.fromkeys(GRAVE, 0)

    def figures(self, page):
        where = ["--after-cursor", self.cursor] if self.cursor else ["--boot"]
        status, text = ask.run("journalctl", "--dmesg", *where, "--output=cat", "--no-pager", "--show-cursor")
        if status != 0:
            raise ask.Silent(f"journalctl: {text.strip().splitlines()[-1:] or status}")
        for line in text.splitlines():
            if line.startswith(CURSOR):
                self.cursor = line[len(CURSOR) :].strip()
            match = XID.search(line)
            if match:
                self.counts[match.group(1)] = self.counts.get(match.group(1), 0) + 1
        about = "Errors that the driver reported in the kernel's log of this boot, by NVIDIA's number"
        for xid, count in sorted(self.counts.items()):
            page.add("dgctl_xid_errors_total", about, count, metric_type="counter", xid=xid)


def _missing(value):
    return value.startswith("[") or value in ("", "N/A")


def _number(value):
    try:
        return float(value)
    except ValueError:
        return None  # [N/A]: this GPU has none


def _read(path):
    try:
        with open(path) as stream:
            return stream.read().strip()
    except OSError:
        return ""
