"""Which GPUs a simulated server has: names on the command line, rows of gpus.toml and boards.toml, described cards."""

import tomllib
import uuid
from pathlib import Path
from typing import NamedTuple

from lab.shell import LabError

TABLE = tomllib.loads(Path(__file__).with_name("gpus.toml").read_text())
BOARDS = tomllib.loads(Path(__file__).with_name("boards.toml").read_text())
FIRST_BUS, BUS_STEP = 0x3B, 0x08  # sixteen cards end at bus b3
FIRST_BRIDGE_BUS = 0x05
OLD = ("pascal", "volta", "turing")  # they retire pages; newer ones remap rows


class Hardware(NamedTuple):
    """`models`: rows of gpus.toml, one a GPU; `board`: the row of boards.toml that they sit on, or empty."""

    models: list[str]
    board: str = ""
    secure_boot: bool = False


NONE = Hardware([])


def names() -> list[str]:
    """Everything that `parse` takes, without counts."""
    return [*TABLE, *BOARDS, "none"]


def parse(text: str) -> Hardware:
    """`t4`, `l4:2`, `t4,l4`, a board's name or `none`. LabError names an unknown one."""
    text = text.lower()
    if text == "none":
        return NONE
    if text in BOARDS:
        return Hardware([BOARDS[text]["gpu"]] * BOARDS[text]["count"], text)
    models = []
    for part in text.split(","):
        model, colon, count = part.partition(":")
        if model not in TABLE:
            raise LabError(
                f"The lab has no GPU `{model}`.",
                f"Take one of: {', '.join(TABLE)}, MODEL:COUNT, {', '.join(BOARDS)}, none",
            )
        number = count if colon else "1"
        if not number.isdecimal() or not 1 <= int(number) <= 16:
            raise LabError(f"`{part}` asks for `{count}` GPUs.", "Give a number from 1 to 16.")
        models += [model] * int(number)
    return Hardware(models)


def describe(server: str, hardware: Hardware) -> list[dict]:
    """Each GPU's full description: its table row, bus address and an UUID that depends on server and slot only."""
    cards = []
    for slot, model in enumerate(hardware.models):
        card = dict(TABLE[model])
        card["bus_id"] = f"0000:{FIRST_BUS + slot * BUS_STEP:02x}:00.0"
        card["uuid"] = f"GPU-{uuid.uuid5(uuid.NAMESPACE_DNS, f'{slot}.{server}.lab.test')}"
        card["serial"] = f"13{uuid.uuid5(uuid.NAMESPACE_DNS, server).int % 10**9:09d}{slot:02d}"
        card["switch"] = BOARDS[hardware.board]["switch"] if hardware.board else ""
        card["health"] = healthy(card)
        cards.append(card)
    return cards


def healthy(card: dict) -> dict:
    """What changes in a GPU's life, as it is when nothing is wrong; keys as nvidia-smi's fields where it has one."""
    old = card["generation"] in OLD
    return {
        "lost": False,
        "mig.mode.current": "Disabled" if card["mig"] else "[N/A]",
        "mig.mode.pending": "Disabled" if card["mig"] else "[N/A]",
        "ecc.mode.current": "Enabled",
        "ecc.mode.pending": "Enabled",
        "ecc.errors.uncorrected.volatile.total": 0,
        "retired_pages.pending": "No" if old else "[N/A]",
        "remapped_rows.pending": "[N/A]" if old else "No",
        "remapped_rows.failure": "[N/A]" if old else "No",
        "clocks_event_reasons.hw_slowdown": "Not Active",
        "clocks_event_reasons.hw_thermal_slowdown": "Not Active",
        "gpu_recovery_action": "None",
        "temperature.gpu": 34,
    }


def bridges(board: str) -> list[dict]:
    """The NVLink switches' PCI devices of a board: bus address, ids and class as hexadecimal text."""
    if not board:
        return []
    row = BOARDS[board]
    vendor, device = row["bridge"].split(":")
    subsystem_vendor, subsystem = row["subsystem"].split(":")
    ids = {"vendor": vendor, "device": device, "subsystem_vendor": subsystem_vendor, "subsystem": subsystem}
    return [
        ids | {"bus_id": f"0000:{FIRST_BRIDGE_BUS + number:02x}:00.0", "class": row["class"], "switch": row["switch"]}
        for number in range(row["bridges"])
    ]
