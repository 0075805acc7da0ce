"""Faults of the hardware: a GPU lost, missing, in MIG mode, on half a link, too hot, with memory that fails."""

from __future__ import annotations

import shutil

from lab.faults.registry import heal, inject
from lab.faults.target import Target

OFF_BUS = (
    "NVRM: GPU at PCI:{slot}: {uuid}",
    "NVRM: GPU Board Serial Number: {serial}",
    "NVRM: Xid (PCI:{slot}): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
    "NVRM: GPU {bus}: GPU has fallen off the bus.",
    "NVRM: GPU {bus}: GPU serial number is {serial}.",
    "NVRM: Xid (PCI:{slot}): 154, pid='<unknown>', name=<unknown>, GPU recovery action changed from 0x0 (None) to "
    "0x2 (Node Reboot Required)",
)
XID_63 = "NVRM: Xid (PCI:{slot}): 63, pid='<unknown>', name=<unknown>, "
REMAP = XID_63 + "Row Remapper: New row marked for remapping, reset gpu to activate."
RETIRE = XID_63 + "Dynamic Page Retirement: New page retired, reboot to activate (0x0000000000011a2b)."


def _last(target: Target) -> dict:
    return target.cards()[-1]


def _log(target: Target, card: dict, *lines: str) -> None:
    words = {"bus": card["bus_id"], "slot": card["bus_id"][:-2], "uuid": card["uuid"], "serial": card["serial"]}
    target.log(*(line.format(**words) for line in lines))


@inject("gpu-off-bus")
def off_bus(target: Target) -> str:
    card = _last(target)
    target.set_health(card, lost=True, gpu_recovery_action="Reboot")
    _log(target, card, *OFF_BUS)
    return f"{card['name']} at {card['bus_id']} answers no more; the kernel's log has its Xid 79 and 154."


@heal("gpu-off-bus")
def back_on_bus(target: Target) -> str:
    for card in target.cards():
        target.set_health(card, lost=False, gpu_recovery_action="None")
    target.forget_log()
    return "Every GPU answers, as after a power cycle; the kernel's log is empty."


@inject("gpu-missing")
def missing(target: Target) -> str:
    card = _last(target)
    device = target.directory / "pci" / card["bus_id"]
    (device / "driver").unlink(missing_ok=True)
    shutil.move(device, target.aside / card["bus_id"])
    target.kernel("refresh")
    return f"{card['name']} at {card['bus_id']} is gone from the PCI bus."


@heal("gpu-missing")
def found(target: Target) -> str:
    back = sorted(target.aside.iterdir())
    for device in back:
        shutil.move(device, target.directory / "pci" / device.name)
    target.kernel("refresh")
    return f"Back on the PCI bus: {', '.join(device.name for device in back) or 'nothing was missing'}."


@inject("mig-enabled")
def mig(target: Target) -> str:
    card = next(card for card in target.cards() if card["mig"])
    target.set_health(card, mig_mode_current="Enabled", mig_mode_pending="Enabled")
    return f"{card['name']} at {card['bus_id']} is in MIG mode."


@heal("mig-enabled")
def no_mig(target: Target) -> str:
    for card in target.cards():
        if card["mig"]:
            target.set_health(card, mig_mode_current="Disabled", mig_mode_pending="Disabled")
    return "No GPU is in MIG mode."


def _set_width(target: Target, card: dict, lanes: int) -> None:
    (target.directory / "pci" / card["bus_id"] / "current_link_width").write_text(f"{lanes}\n")
    target.kernel("refresh")


@inject("pcie-width")
def half_width(target: Target) -> str:
    card = _last(target)
    _set_width(target, card, 8)
    return f"{card['name']} at {card['bus_id']} has 8 of 16 lanes."


@heal("pcie-width")
def full_width(target: Target) -> str:
    for card in target.cards():
        _set_width(target, card, 16)
    return "Every GPU has its 16 lanes."


@inject("retirement-pending")
def retirement(target: Target) -> str:
    card = _last(target)
    pages = card["health"]["retired_pages.pending"] != "[N/A]"
    if pages:
        target.set_health(card, retired_pages_pending="Yes")
    else:
        target.set_health(card, remapped_rows_pending="Yes", gpu_recovery_action="Reset")
    _log(target, card, RETIRE if pages else REMAP)
    return f"{card['name']} at {card['bus_id']} waits for a {'page retirement' if pages else 'row remapping'}."


@heal("retirement-pending")
def retired(target: Target) -> str:
    """A reset may be refused while the GPU is in use; a reboot is not."""
    for card in target.cards():
        pages = card["health"]["retired_pages.pending"] != "[N/A]"
        healed = {"retired_pages_pending": "No"} if pages else {"remapped_rows_pending": "No"}
        target.set_health(card, gpu_recovery_action="None", **healed)
    target.forget_log()
    return "No GPU's memory waits for anything, as after a reboot; the kernel's log is empty."


@inject("xid-79")
def xid(target: Target) -> str:
    card = _last(target)
    _log(target, card, *OFF_BUS[:4])
    return f"The kernel's log has an Xid 79 of {card['bus_id']}, which answers."


@heal("xid-79")
def no_xid(target: Target) -> str:
    target.forget_log()
    return "The kernel's log is empty, as after a reboot."


@inject("ecc-errors")
def ecc_errors(target: Target) -> str:
    card = _last(target)
    target.set_health(card, ecc_errors_uncorrected_volatile_total=3)
    return f"{card['name']} at {card['bus_id']} has counted three errors that its memory could not correct."


@heal("ecc-errors")
def no_ecc_errors(target: Target) -> str:
    for card in target.cards():
        target.set_health(card, ecc_errors_uncorrected_volatile_total=0)
    return "No GPU has counted an error, as after a reset."


SLOWED = ("clocks_event_reasons_hw_slowdown", "clocks_event_reasons_hw_thermal_slowdown")


@inject("gpu-too-hot")
def hot(target: Target) -> str:
    card = _last(target)
    target.set_health(card, temperature_gpu=96, **dict.fromkeys(SLOWED, "Active"))
    return f"{card['name']} at {card['bus_id']} has 96 degrees, and slows itself down."


@heal("gpu-too-hot")
def cool(target: Target) -> str:
    for card in target.cards():
        target.set_health(card, temperature_gpu=34, **dict.fromkeys(SLOWED, "Not Active"))
    return "No GPU is too hot."
