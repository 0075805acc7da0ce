"""Reads what PCI and nvidia-smi say about GPUs."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The fields of `nvidia-smi --query-gpu=FIELDS --format=csv,noheader,nounits`, in the order of Gpu's
# attributes.
FIELDS = "uuid,name,pci.bus_id,memory.total,mig.mode.current"
_LISTED = re.compile(r"^GPU (\d+): (.+) \(UUID: (GPU-[0-9a-fA-F-]+)\)$")
# VGA and 3D controllers; a card's sound (0403) and NVSwitches (0680) are no GPUs.
_GPU_CLASSES = ("0x0300", "0x0302")


@dataclass(frozen=True)
class Gpu:
    """One GPU as nvidia-smi has it; `bus` in the kernel's spelling (0000:3b:00.0), memory in MiB (None:
    unknown).
    """

    uuid: str
    name: str
    bus: str
    memory_mb: int | None
    mig: str


def smi(lines: list[str]) -> list[Gpu]:
    """GPUs from nvidia-smi's CSV (query FIELDS); lines of any other shape are left out."""
    rows = [[cell.strip() for cell in line.split(",")] for line in lines]
    return [
        Gpu(uuid, name, bus_id(bus), int(memory) if memory.isdigit() else None, mig)
        for uuid, name, bus, memory, mig in (row for row in rows if len(row) == 5)
    ]


def bus_id(reported: str) -> str:
    """nvidia-smi writes 00000000:3B:00.0, the kernel 0000:3b:00.0."""
    domain, _, rest = reported.strip().lower().partition(":")
    return f"{int(domain, 16):04x}:{rest}" if re.fullmatch("[0-9a-f]+", domain) else reported.strip().lower()


def listed(lines: list[str]) -> list[str]:
    """The UUIDs that `nvidia-smi -L` lists, in its order; MIG slices are not GPUs."""
    return [match[3] for match in map(_LISTED.match, (line.strip() for line in lines)) if match]


def handed_out(uuids: list[str], devices: list[str]) -> list[str]:
    """The UUIDs of the GPUs that CDI names like nvidia.com/gpu=all, =0 or =GPU-... stand for, in the host's order."""
    names = {device.rpartition("=")[2] for device in devices}
    return [uuid for number, uuid in enumerate(uuids) if {"all", str(number), uuid} & names]


def pci(lines: list[str]) -> list[str]:
    """Bus ids of NVIDIA GPUs from lines `BUS VENDOR CLASS` as sysfs has them, sorted."""
    rows = [line.split() for line in lines]
    return sorted(
        bus
        for bus, vendor, kind in (row for row in rows if len(row) == 3)
        if vendor == "0x10de" and kind.startswith(_GPU_CLASSES)
    )
