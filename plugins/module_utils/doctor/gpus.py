"""The doctor on the GPUs: do they answer, are they all there, how are they linked, and what ails their memory."""

import os

from ansible.module_utils.doctor import driver as doctor_driver
from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown
from ansible.module_utils.doctor.smi import cards, known, names, of_cards, silent

LOST = ("GPU is lost", "requires reset", "Unknown Error", "ERR!", "Unable to determine the device handle")


def answers(host):
    on_bus = [gpu["address"] for gpu in host.gpus()]
    found, reported = cards(host)
    if not on_bus:
        return unknown("no NVIDIA GPU on the bus")
    if not host.loaded():
        return unknown("no NVIDIA driver is loaded: see driver versions")
    if doctor_driver.MISMATCH in reported:
        return unknown("the driver's versions differ: see driver versions")
    wrong = {gpu["address"] for gpu in doctor_driver.unfit(host)}
    missing = [address for address in on_bus if address not in found and address not in wrong]
    lost = [address for address, card in found.items() if any(sign in cell for cell in card.values() for sign in LOST)]
    if not (missing or lost) and host.reported("smi").status is None:
        missing = on_bus
    if not (missing or lost):
        return healthy(f"{len(found)} of {len(on_bus)}")
    if host.reported("smi").status is None:
        cause = "nvidia-smi hangs: the driver waits for a GPU"
    else:
        cause = "it fell off the bus" if host.logged("fallen off the bus", "GPU is lost") or "lost" in reported else ""
    words = reported or host.logged("NVRM:")
    return unhealthy(f"{listed(missing or lost)} does not answer" + (f": {words}" if words else ""), cause)


def count(host):
    now = [gpu["address"] for gpu in host.gpus()]
    before = (host.recorded("nvidia_driver").get("driver") or {}).get("gpus") or []
    requested = host.params.get("gpu_count")
    if before and len(now) < len(before):
        lost = [address for address in before if address not in now]
        return unhealthy(f"{len(now)}, missing: {listed(lost)}", expected=f"{len(before)}, as recorded")
    if requested is not None and len(now) != requested:
        return unhealthy(len(now), expected=f"{requested} (preflight_gpu_count)")
    if not now:
        return unhealthy(0, "no NVIDIA GPU is on the PCI bus", expected="at least 1")
    return healthy(len(now), f"{len(before)}, as recorded" if before else "")


def width(text):
    return int(text) if text.isdigit() and 0 < int(text) <= 32 else 0


def links(host, gpu):
    """[(lanes in use, lanes that there could be)] of a GPU, by nvidia-smi and by the kernel."""
    card = cards(host)[0].get(gpu["address"], {})
    by_smi = [width(known(card.get(f"pcie.link.width.{which}"))) for which in ("current", "max")]
    device = f"/sys/bus/pci/devices/{gpu['address']}"
    port = os.path.dirname(os.path.realpath(host.path(device)))[len(host.root) :]
    limits = [width(host.read(f"{place}/max_link_width")) for place in (device, port)] + by_smi[1:]
    by_kernel = [width(host.read(f"{device}/current_link_width")), min(filter(None, limits), default=0)]
    return [pair for pair in (by_smi, by_kernel) if all(pair)]


def link(host):
    """The slot's own width counts: a card in a slot of eight lanes is as fast as it can be."""
    found = {gpu["address"]: links(host, gpu) for gpu in host.gpus()}
    if not any(found.values()):
        return unknown("neither nvidia-smi nor the kernel tells the width of a link")
    narrow = [
        f"{address}: x{now} of x{most}" for address, pairs in found.items() for now, most in pairs[:] if now < most
    ]
    return (
        unhealthy(listed(dict.fromkeys(narrow)))
        if narrow
        else healthy(listed(f"x{pairs[0][0]}" for pairs in found.values() if pairs))
    )


def mig(host):
    found = of_cards(host, "mig.mode.current")
    if not found:
        return silent(host) if not cards(host)[0] else healthy("these GPUs have none")
    on = [card for card, values in found if values[0] == "Enabled"]
    if not on:
        return healthy("off")
    indexes = ",".join(card["index"] for card in on)
    return unhealthy(
        f"on: {listed(map(names, on))}",
        fix=f"set nvidia_driver_mig_disable_allowed: true, then dgctl provision; or on the server, drained: "
        f"nvidia-smi -i {indexes} -mig 0, then nvidia-smi --gpu-reset -i {indexes} or reboot",
    )


def persistence(host):
    if not host.params.get("persistence", True):
        return unknown("nvidia_driver_persistence is off")
    found = of_cards(host, "persistence_mode")
    if not found:
        return silent(host)
    off = [card for card, values in found if values[0] == "Disabled"]
    return unhealthy(f"off: {listed(map(names, off))}") if off else healthy("on")


CHECKS = (
    Check(
        "gpu count", count,
        "GPUs on the PCI bus, against those that the driver had when the role recorded them",
        "at least 1",
        "a GPU is not on the PCI bus: it lost its power or its seat, or the firmware left it out",
        "check lspci -d 10de: and the BMC; start the server cold; reseat the card. If it was taken out on purpose: "
        "dgctl provision --full records the new number",
        stands_on=("xid",),
    ),
    Check(
        "gpu answers", answers,
        "nvidia-smi's answer for each GPU on the bus; an nvidia-smi that hangs",
        "every GPU on the bus",
        "the driver cannot use it",
        "drain the server and reboot it, cold if that does not help; if it comes back: reseat or replace the GPU. "
        "nvidia-bug-report.sh gathers what NVIDIA's support wants",
        stands_on=("driver versions", "module flavour", "gpu count", "xid", "gpu recovery", "gpu devices"),
    ),
    Check(
        "pcie link", link,
        "lanes in use of each GPU's link, against what card and slot could have",
        "the width that card and slot have",
        "a bad contact, a riser or a damaged slot: models load and answers come slower",
        "reseat the card and its riser, start the server cold; check the BIOS's setting for the slot (bifurcation)",
        stands_on=("gpu count",),
    ),
    Check(
        "mig", mig,
        "MIG mode of each GPU",
        "off",
        "Deepgram does not support slices of a GPU",
        "set nvidia_driver_mig_disable_allowed: true, then dgctl provision; or on the server, drained: nvidia-smi -i N -mig 0",
        True, ("gpu.mig_off",),
        stands_on=("gpu answers",),
    ),
    Check(
        "persistence", persistence,
        "persistence mode of each GPU, where nvidia_driver_persistence is on",
        "on",
        "nvidia-persistenced does not run, or runs without the mode: first requests wait for the driver",
        "dgctl provision; or on the server: systemctl restart nvidia-persistenced",
        True, ("driver.persistent",),
        stands_on=("gpu answers", "units"),
    ),
)  # fmt: skip
