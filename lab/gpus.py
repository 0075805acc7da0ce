"""Simulated GPUs: a /sys/bus/pci/devices tree that the real lspci reads."""

import json
import shutil
import struct
import tomllib
import uuid
from pathlib import Path

from lab.shell import LabError

TABLE = tomllib.loads(Path(__file__).with_name("gpus.toml").read_text())
FIRST_BUS, BUS_STEP = 0x3B, 0x08  # sixteen cards end at bus b3
LINK_SPEEDS = {3: "8.0 GT/s PCIe", 4: "16.0 GT/s PCIe", 5: "32.0 GT/s PCIe"}
NVIDIA = 0x10DE
CLASS_3D_CONTROLLER = 0x030200  # data-centre cards; class 0300 is a card with a display
REVISION = 0xA1


def parse(text: str) -> list[str]:
    """`t4`, `l4:2` or `t4,l4` -> table keys, one a GPU; `none` -> no GPU. LabError names an unknown one."""
    if text == "none":
        return []
    models = []
    for part in text.lower().split(","):
        model, colon, count = part.partition(":")
        if model not in TABLE:
            raise LabError(f"The lab has no GPU `{model}`.", f"Take one of: {', '.join(TABLE)}, MODEL:COUNT, none")
        number = count if colon else "1"
        if not number.isdecimal() or not 1 <= int(number) <= 16:
            raise LabError(f"`{part}` asks for `{count}` GPUs.", "Give a number from 1 to 16.")
        models += [model] * int(number)
    return models


def describe(server: str, models: list[str]) -> list[dict]:
    """Each GPU's full description: its table row, bus address and an UUID that depends on server and slot only."""
    cards = []
    for slot, model in enumerate(models):
        card = dict(TABLE[model])
        card["bus_id"] = f"0000:{FIRST_BUS + slot * BUS_STEP:02x}:00.0"
        card["uuid"] = f"GPU-{uuid.uuid5(uuid.NAMESPACE_DNS, f'{slot}.{server}.lab.test')}"
        card["serial"] = f"13{uuid.uuid5(uuid.NAMESPACE_DNS, server).int % 10**9:09d}{slot:02d}"
        card["vbios"] = "90.04.84.00.06"
        cards.append(card)
    return cards


def write_tree(directory: Path, cards: list[dict]) -> None:
    """Replaces `directory`'s content by one sub-directory a card. The directory itself stays: it may be mounted."""
    for old in directory.iterdir():
        shutil.rmtree(old)
    for card in cards:
        _write_device(directory / card["bus_id"], card)


def _write_device(directory: Path, card: dict) -> None:
    device, subsystem = int(card["device"], 16), int(card["subsystem"], 16)
    speed = LINK_SPEEDS[card["gen"]]
    modalias = f"pci:v{NVIDIA:08X}d{device:08X}sv{NVIDIA:08X}sd{subsystem:08X}bc03sc02i00"
    values = {
        "vendor": f"0x{NVIDIA:04x}",
        "device": f"0x{device:04x}",
        "subsystem_vendor": f"0x{NVIDIA:04x}",
        "subsystem_device": f"0x{subsystem:04x}",
        "class": f"0x{CLASS_3D_CONTROLLER:06x}",
        "revision": f"0x{REVISION:02x}",
        "irq": "123",
        "resource": "\n".join(["0x0000000000000000 0x0000000000000000 0x0000000000000000"] * 7),
        "numa_node": "0",
        "enable": "1",
        "current_link_speed": speed,
        "max_link_speed": speed,
        "current_link_width": "16",
        "max_link_width": "16",
        "modalias": modalias,
        "simulated.json": json.dumps(card),
    }
    directory.mkdir()
    for name, value in values.items():
        (directory / name).write_text(value + "\n")
    (directory / "config").write_bytes(_config_space(device, subsystem))


def _config_space(device: int, subsystem: int) -> bytes:
    """The first 256 bytes of PCI configuration space, type 0 header."""
    space = bytearray(256)
    struct.pack_into("<HHHH", space, 0x00, NVIDIA, device, 0x0006, 0x0010)
    struct.pack_into("<I", space, 0x08, CLASS_3D_CONTROLLER << 8 | REVISION)
    struct.pack_into("<HH", space, 0x2C, NVIDIA, subsystem)
    return bytes(space)
