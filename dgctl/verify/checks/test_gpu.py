"""The GPUs of the host: all that are plugged in, as many and as large as expected, whole (no MIG)."""

from collections import Counter

import pytest

from dgctl.verify import gpus

GROUPS = ("engine",)
LOOK = "nvidia-smi; journalctl -k | grep -E 'NVRM|Xid'"


@pytest.fixture(scope="module")
def seen(driver):
    return gpus.smi(driver["gpus"].lines)


def test_all_in_use(driver, seen, expect):
    """Every GPU on the PCI bus is one that the driver works with."""
    expect(
        [gpu.bus for gpu in seen] if driver["gpus"].ok else str(driver["gpus"]),
        gpus.pci(driver["pci"].lines),
        LOOK,
        ok=bool(seen) and sorted(gpu.bus for gpu in seen) == gpus.pci(driver["pci"].lines),
    )


def test_count(seen, desired, expect):
    exact, least = desired["preflight_gpu_count"], desired["preflight_min_gpu_count"] or 1
    expect(
        len(seen),
        exact if exact is not None else f"at least {least}",
        f"{LOOK}; or change preflight_gpu_count",
        ok=len(seen) == exact if exact is not None else len(seen) >= least,
    )


def test_names(seen, desired, expect):
    names = [gpu.name for gpu in seen]
    if not desired["preflight_gpu_names"]:
        expect(names, "any model", LOOK, ok=bool(names))
        return
    allowed = set(desired["preflight_gpu_names"])
    expect(names, allowed, f"{LOOK}; or change preflight_gpu_names", ok=bool(names) and set(names) <= allowed)


def test_memory(seen, desired, expect):
    least = int(desired["preflight_min_gpu_memory_mb"] or 0)
    expect(
        [f"{gpu.name} {gpu.memory_mb} MiB" for gpu in seen],
        f"each at least {least} MiB",
        "use a larger GPU, or lower preflight_min_gpu_memory_mb knowingly",
        ok=bool(seen) and all((gpu.memory_mb or 0) >= least for gpu in seen),
    )


def test_mig_off(seen, expect):
    modes = Counter(gpu.mig for gpu in seen)
    expect(
        [f"{count} x {mode}" for mode, count in modes.items()],
        "MIG off on every GPU",
        "nvidia-smi -mig 0, then reset the GPU or reboot",
        ok=bool(seen) and "Enabled" not in modes,
    )
