"""A simulated server's hardware: files under the lab's home that are mounted where its kernel would show them."""

import struct
from pathlib import Path

from lab.hardware import gpus, pci
from lab.home import Home

SEEN_AT = "/usr/lib/simulated-kernel/hardware"  # what simulated-init shows in further places of /sys


SECURE_BOOT = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
ATTRIBUTES = struct.pack("<I", 6)  # boot service and runtime access, not writable


def install(home: Home, server: str, has: gpus.Hardware) -> list[str]:
    """Writes a new server's devices and firmware variables; returns the mounts that show them to it."""
    tree = home.directory("servers", server, "pci")
    bridges = gpus.bridges(has.board)
    pci.write_tree(tree, gpus.describe(server, has), bridges)
    other = home.directory("servers", server, "hardware")
    _write_infiniband(other / "infiniband", bridges)
    set_secure_boot(other, has.secure_boot)
    return [f"--volume={tree}:/sys/bus/pci/devices", f"--volume={other}:{SEEN_AT}"]


def set_secure_boot(hardware: Path, enforced: bool) -> None:
    """What the firmware's setup menu does."""
    efivars = hardware / "efi" / "efivars"
    efivars.mkdir(parents=True, exist_ok=True)
    (efivars / SECURE_BOOT).write_bytes(ATTRIBUTES + bytes([enforced]))


def _write_infiniband(directory: Path, bridges: list[dict]) -> None:
    """/sys/class/infiniband with one entry a function that manages NVLink switches; none without such a board."""
    functions = [bridge for bridge in bridges if bridge["switch"] == "infiniband"]
    for number, bridge in enumerate(functions):
        entry = directory / f"mlx5_{number}"
        entry.mkdir(parents=True, exist_ok=True)
        link = entry / "device"
        link.unlink(missing_ok=True)
        link.symlink_to(f"/sys/bus/pci/devices/{bridge['bus_id']}")
