"""The fields of `--query-gpu`: unit and value of each, and the driver branch that first knew it."""

import datetime

from .driver import branch

NA = "[N/A]"
SINCE = {"kmd_version": 595}
OLD = ("pascal", "volta", "turing")  # they retire pages, newer ones remap rows


def health(name, unit=""):
    """A field that the GPU's life changes."""
    return unit, lambda gpu: gpu["health"][name]


def of(key, unit=""):
    return unit, lambda gpu: gpu[key]


def always(value, unit=""):
    return unit, lambda gpu: value


def only(old, value):
    """A value that only GPUs that retire pages (old) have, or only those that remap rows."""
    return "", lambda gpu: value if (gpu["generation"] in OLD) == old else NA


def power(share, unit="W"):
    return unit, lambda gpu: f"{gpu[share]:.2f}"


FIELDS = {
    "timestamp": ("", lambda gpu: datetime.datetime.now().strftime("%Y/%m/%d %H:%M:%S.%f")[:-3]),
    "driver_version": of("driver"),
    "kmd_version": of("driver"),
    "count": of("count"),
    "name": of("name"),
    "gpu_name": of("name"),
    "index": of("index"),
    "serial": of("serial"),
    "gpu_serial": of("serial"),
    "uuid": of("uuid"),
    "gpu_uuid": of("uuid"),
    "vbios_version": of("vbios"),
    "compute_cap": of("compute_cap"),
    "compute_mode": always("Default"),
    "display_active": always("Disabled"),
    "display_attached": always("No"),
    "display_mode": always("Disabled"),
    "persistence_mode": of("persistence"),
    "addressing_mode": always("None"),
    "pci.bus_id": of("smi_bus_id"),
    "gpu_bus_id": of("smi_bus_id"),
    "pci.domain": always("0x0000"),
    "pci.bus": ("", lambda gpu: "0x" + gpu["bus_id"][5:7].upper()),
    "pci.device": always("0x00"),
    "pci.device_id": ("", lambda gpu: f"0x{gpu['device'].upper()}10DE"),
    "pci.sub_device_id": ("", lambda gpu: f"0x{gpu['subsystem'].upper()}10DE"),
    "pcie.link.gen.current": of("link_gen"),
    "pcie.link.gen.max": of("gen"),
    "pcie.link.gen.gpucurrent": of("link_gen"),
    "pcie.link.gen.gpumax": of("gen"),
    "pcie.link.gen.hostmax": always(NA),
    "pcie.link.width.current": of("link_width"),
    "pcie.link.width.max": always(16),
    "fan.speed": ("%", lambda gpu: 0 if gpu["fan"] else NA),
    "pstate": ("", lambda gpu: pstate(gpu)),
    "clocks_event_reasons.active": always("0x0000000000000001"),
    "clocks_event_reasons.gpu_idle": always("Active"),
    "clocks_event_reasons.applications_clocks_setting": always("Not Active"),
    "clocks_event_reasons.sw_power_cap": always("Not Active"),
    "clocks_event_reasons.hw_slowdown": health("clocks_event_reasons.hw_slowdown"),
    "clocks_event_reasons.hw_thermal_slowdown": health("clocks_event_reasons.hw_thermal_slowdown"),
    "clocks_event_reasons.sw_thermal_slowdown": always("Not Active"),
    "clocks_event_reasons.hw_power_brake_slowdown": always("Not Active"),
    "clocks_throttle_reasons.active": always("0x0000000000000001"),
    "clocks_throttle_reasons.hw_slowdown": health("clocks_event_reasons.hw_slowdown"),
    "clocks_throttle_reasons.hw_thermal_slowdown": health("clocks_event_reasons.hw_thermal_slowdown"),
    "memory.total": of("memory", "MiB"),
    "memory.reserved": ("MiB", lambda gpu: gpu["memory"] // 60),
    "memory.used": always(0, "MiB"),
    "memory.free": ("MiB", lambda gpu: gpu["memory"] - gpu["memory"] // 60),
    "utilization.gpu": always(0, "%"),
    "utilization.memory": always(0, "%"),
    "utilization.encoder": always(0, "%"),
    "utilization.decoder": always(0, "%"),
    "encoder.stats.sessionCount": always(0),
    "ecc.mode.current": health("ecc.mode.current"),
    "ecc.mode.pending": health("ecc.mode.pending"),
    "ecc.errors.corrected.volatile.total": always(0),
    "ecc.errors.corrected.aggregate.total": always(0),
    "ecc.errors.uncorrected.volatile.total": health("ecc.errors.uncorrected.volatile.total"),
    "ecc.errors.uncorrected.aggregate.total": health("ecc.errors.uncorrected.volatile.total"),
    "retired_pages.single_bit_ecc.count": only(True, 0),
    "retired_pages.double_bit.count": ("", lambda gpu: retired(gpu)),
    "retired_pages.pending": health("retired_pages.pending"),
    "remapped_rows.correctable": only(False, 0),
    "remapped_rows.uncorrectable": ("", lambda gpu: remapped(gpu)),
    "remapped_rows.pending": health("remapped_rows.pending"),
    "remapped_rows.failure": health("remapped_rows.failure"),
    "temperature.gpu": health("temperature.gpu"),
    "temperature.memory": ("", lambda gpu: gpu["health"]["temperature.gpu"] + 6 if gpu["mig"] else NA),
    "power.management": always("Enabled"),
    "power.draw": power("power_idle"),
    "power.draw.instant": power("power_idle"),
    "power.limit": power("power_limit"),
    "enforced.power.limit": power("power_limit"),
    "power.default_limit": power("power_limit"),
    "power.min_limit": power("power_min"),
    "power.max_limit": power("power_limit"),
    "clocks.current.graphics": ("MHz", lambda gpu: gpu["clocks"][0]),
    "clocks.current.sm": ("MHz", lambda gpu: gpu["clocks"][0]),
    "clocks.current.memory": ("MHz", lambda gpu: gpu["clocks"][1]),
    "mig.mode.current": health("mig.mode.current"),
    "mig.mode.pending": health("mig.mode.pending"),
    "gsp.mode.current": ("", lambda gpu: NA if gpu["generation"] in OLD[:2] else "Enabled"),
    "gsp.mode.default": ("", lambda gpu: NA if gpu["generation"] in OLD[:2] else "Enabled"),
    "gpu_recovery_action": health("gpu_recovery_action"),
    "fabric.state": of("fabric.state"),
    "fabric.status": of("fabric.status"),
}


def known(library):
    """The fields that a library of this version knows."""
    return {name: field for name, field in FIELDS.items() if SINCE.get(name, 0) <= branch(library)}


def pstate(gpu):
    """Cards whose link sleeps idle in P8, boards' GPUs in P0."""
    return "P0" if gpu["idle_gen"] == gpu["gen"] else "P8"


def retired(gpu):
    """Pages that an uncorrectable error retired."""
    if gpu["generation"] not in OLD:
        return NA
    return 1 if gpu["health"]["retired_pages.pending"] == "Yes" else 0


def remapped(gpu):
    """Rows that an uncorrectable error remapped."""
    if gpu["generation"] in OLD:
        return NA
    return 1 if gpu["health"]["remapped_rows.pending"] == "Yes" else 0


def cell(gpu, name, units):
    unit, value = FIELDS[name][0], str(FIELDS[name][1](gpu))
    return f"{value} {unit}" if unit and units and value != NA else value
