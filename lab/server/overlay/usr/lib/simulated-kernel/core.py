"""The nvidia module itself: version files, and a directory and a device node for each GPU that it drives."""

import glob
import json
import os
import shutil
from pathlib import Path

import adapters
from places import (
    ERROR,
    INFO,
    MODULES,
    PROC,
    STATE,
    bind,
    fail,
    loaded,
    log,
    make_node,
    show_module,
    unbind_all,
)

KERNEL = os.uname().release
DRIVER, SWITCHES = PROC / "nvidia", PROC / "nvidia-nvswitch"
UNKNOWN_UUID = "GPU-????????-????-????-????-????????????"
TAKEN = """\
NVRM: The NVIDIA probe routine was not called for {count} device(s).
NVRM: This can occur when a driver such as:
NVRM: nouveau, rivafb, nvidiafb or rivatv
NVRM: was loaded and obtained ownership of the NVIDIA device(s).
NVRM: Try unloading the conflicting kernel module (and/or
NVRM: reconfigure your kernel without the conflicting
NVRM: driver(s)), then try loading the NVIDIA kernel module
NVRM: again.
NVRM: No NVIDIA devices probed."""


def load(version, open_flavour):
    """Loads it, or fails as modprobe does when no GPU is left for it."""
    face = "UNIX Open Kernel Module for x86_64 " if open_flavour else "UNIX x86_64 Kernel Module "
    banner = f"NVIDIA {face} {version}  Release Build  (simulated@dgctl-lab)"
    log("nvidia: loading out-of-tree module taints kernel.", level=INFO)
    cards, lines = adapters.driven(version, open_flavour)
    log(*lines, level=ERROR)
    if not cards:
        refuse()
    log(f"NVRM: loading {banner}", level=INFO)
    show_module("nvidia", version)
    DRIVER.mkdir(parents=True, exist_ok=True)
    compiler = "GCC version:  gcc version 14.2.0 (Debian 14.2.0-19)"
    (DRIVER / "version").write_text(f"NVRM version: {banner}\n{compiler}\n")
    (DRIVER / "params").write_text('ModifyDeviceFiles: 1\nDeviceFileMode: 438\nRegistryDwords: ""\n')
    show(version, open_flavour, cards)
    show_switches()


def refuse():
    """No device was taken: says why as the driver does, and ends."""
    everything = adapters.gpus()
    others = [card for card in everything if adapters.taken(card)]
    if others:
        log(*TAKEN.format(count=len(others)).splitlines())
    elif everything:
        log(f"NVRM: The NVIDIA probe routine failed for {len(everything)} device(s).")
        log("NVRM: None of the NVIDIA devices were initialized.")
    else:
        log("NVRM: No NVIDIA GPU found.")
    fail("modprobe: ERROR: could not insert 'nvidia': No such device")


def show(version, open_flavour, cards):
    """Device nodes, /proc/driver/nvidia/gpus, PCI driver links, and what nvidia-smi will be told."""
    shutil.rmtree(DRIVER / "gpus", ignore_errors=True)
    (DRIVER / "gpus").mkdir()
    for card in cards:
        describe(card, version)
        bind(card["bus_id"], "nvidia")
        make_node(f"nvidia{card['minor']}")
    STATE.mkdir(parents=True, exist_ok=True)
    new = STATE / ".gpus.json.new"
    new.write_text(json.dumps({"version": version, "open": open_flavour, "gpus": cards}))
    new.rename(STATE / "gpus.json")
    if any(card["switch"] for card in cards):
        (STATE / "fabric-needed").touch()


def describe(card, version):
    directory = DRIVER / "gpus" / card["bus_id"]
    directory.mkdir()
    started = card["initialised"]
    (directory / "information").write_text(
        f"Model: \t\t {card['name']}\nIRQ:   \t\t 123\nGPU UUID: \t {card['uuid'] if started else UNKNOWN_UUID}\n"
        f"Video BIOS: \t {card['vbios'] if started else '??.??.??.??.??'}\n"
        "Bus Type: \t PCIe\nDMA Size: \t 47 bits\nDMA Mask: \t 0x7fffffffffff\n"
        f"Bus Location: \t {card['bus_id']}\nDevice Minor: \t {card['minor']}\n"
        f"GPU Firmware: \t {version if started and card['open'] else 'N/A'}\nGPU Excluded:\t No\n"
    )


def show_switches():
    """/proc/driver/nvidia-nvswitch and its nodes, on boards whose NVSwitches are PCI devices."""
    found = adapters.switches()
    for number, address in enumerate(found):
        directory = SWITCHES / "devices" / address
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "information").write_text(f"BIOS Version: \t 96.10.57.00.01\nDevice Minor: \t {number}\n")
        make_node(f"nvidia-nvswitch{number}")
        log(f"nvidia-nvswitch{number}: using MSI", level=INFO)
    if found:
        make_node("nvidia-nvswitchctl")


def refresh():
    """Shows the GPUs as they are now; nothing while the module is not loaded."""
    if not loaded("nvidia"):
        return
    state = json.loads((STATE / "gpus.json").read_text())
    cards, _ = adapters.driven(state["version"], state["open"])
    for node in glob.glob("/dev/nvidia[0-9]*"):
        if int(node.removeprefix("/dev/nvidia")) >= len(cards):
            Path(node).unlink()
    show(state["version"], state["open"], cards)


def users():
    """{process id: program} of those that hold an NVIDIA device open, in this server and in its containers."""
    holders = {}
    for descriptor in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(descriptor).startswith("/dev/nvidia"):
                pid = descriptor.split("/")[2]
                holders[pid] = Path("/proc", pid, "comm").read_text().strip()
        except OSError:
            continue  # the process ended meanwhile
    return holders


def forget(module, nodes):
    """Takes away what loading the module brought."""
    for node in nodes:
        Path("/dev", node).unlink(missing_ok=True)
    shutil.rmtree(MODULES / module)
    (MODULES / "nvidia/holders" / module).unlink(missing_ok=True)
    if module != "nvidia":
        return
    for node in glob.glob("/dev/nvidia[0-9]*") + glob.glob("/dev/nvidia-nvswitch*"):
        Path(node).unlink()
    unbind_all("nvidia")
    shutil.rmtree(DRIVER)
    shutil.rmtree(SWITCHES, ignore_errors=True)
    for path in STATE.iterdir():
        path.unlink()
