"""A /sys/bus/pci/devices tree of the simulated GPUs and switches, as the real lspci reads it."""

import json
import shutil
import struct
from pathlib import Path

LINK_SPEEDS = {1: "2.5 GT/s PCIe", 3: "8.0 GT/s PCIe", 4: "16.0 GT/s PCIe", 5: "32.0 GT/s PCIe"}
NVIDIA = "10de"
CLASS_3D_CONTROLLER = "030200"  # data-centre cards; class 0300 is a card with a display
REVISION = 0xA1
# A ConnectX function that manages NVLink switches is known by this word in its vital product data.
VITAL_PRODUCT_DATA = b"\x82\x20\x00Nvidia ConnectX-7 NVLink bridge \x90\x09\x00V1\x06SW_MNG\x78"


def write_tree(directory: Path, cards: list[dict], bridges: list[dict] | None = None) -> None:
    """Replaces `directory`'s content by one sub-directory a device. The directory itself stays: it may be mounted."""
    for old in directory.iterdir():
        shutil.rmtree(old)
    for card in cards:
        write_card(directory / card["bus_id"], card)
    for bridge in bridges or []:
        _write_bridge(directory / bridge["bus_id"], bridge)


def write_card(directory: Path, card: dict) -> None:
    """One GPU, with its link at rest and its description in simulated.json."""
    ids = {"vendor": NVIDIA, "device": card["device"], "subsystem_vendor": NVIDIA, "subsystem": card["subsystem"]}
    _write_device(directory, ids, CLASS_3D_CONTROLLER, {
        "current_link_speed": LINK_SPEEDS[card["idle_gen"]],
        "max_link_speed": LINK_SPEEDS[card["gen"]],
        "current_link_width": "16",
        "max_link_width": "16",
        "simulated.json": json.dumps(card),
    })  # fmt: skip


def _write_bridge(directory: Path, bridge: dict) -> None:
    _write_device(directory, bridge, bridge["class"], {"simulated.json": json.dumps(bridge)})
    if bridge["switch"] == "infiniband":
        (directory / "vpd").write_bytes(VITAL_PRODUCT_DATA)


def _write_device(directory: Path, ids: dict, device_class: str, more: dict[str, str]) -> None:
    """`ids`: vendor, device, subsystem_vendor and subsystem as four hexadecimal digits; `device_class`: six."""
    vendor, device, subsystem_vendor, subsystem = (
        int(ids[key], 16) for key in ("vendor", "device", "subsystem_vendor", "subsystem")
    )
    base, sub, interface = device_class[:2], device_class[2:4], device_class[4:]
    values = {
        "vendor": f"0x{vendor:04x}",
        "device": f"0x{device:04x}",
        "subsystem_vendor": f"0x{subsystem_vendor:04x}",
        "subsystem_device": f"0x{subsystem:04x}",
        "class": f"0x{device_class}",
        "revision": f"0x{REVISION:02x}",
        "irq": "123",
        "resource": "\n".join(["0x0000000000000000 0x0000000000000000 0x0000000000000000"] * 7),
        "numa_node": "0",
        "enable": "1",
        "modalias": (
            f"pci:v{vendor:08X}d{device:08X}sv{subsystem_vendor:08X}sd{subsystem:08X}"
            f"bc{base.upper()}sc{sub.upper()}i{interface.upper()}"
        ),
    }
    directory.mkdir()
    for name, value in (values | more).items():
        (directory / name).write_text(value + "\n")
    (directory / "config").write_bytes(
        _config_space(vendor, device, subsystem_vendor, subsystem, int(device_class, 16))
    )


def _config_space(vendor: int, device: int, subsystem_vendor: int, subsystem: int, device_class: int) -> bytes:
    """The first 256 bytes of PCI configuration space, type 0 header."""
    space = bytearray(256)
    struct.pack_into("<HHHH", space, 0x00, vendor, device, 0x0006, 0x0010)
    struct.pack_into("<I", space, 0x08, device_class << 8 | REVISION)
    struct.pack_into("<HH", space, 0x2C, subsystem_vendor, subsystem)
    return bytes(space)
