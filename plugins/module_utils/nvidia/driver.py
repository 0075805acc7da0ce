"""The NVIDIA driver: the module in the kernel, the library beside it, and the GPUs that it has."""

import os

from ansible.module_utils.boot import kernels as boot_kernels
from ansible.module_utils.host.command import Command
from ansible.module_utils.host.files import read

PROC = "/proc/driver/nvidia"
MODULES = "/sys/module"
LIBRARIES = "/usr/lib"
LIBRARIES_64 = "/usr/lib64"  # of rpm's systems
LIBRARY = "libnvidia-ml.so.1"
TIMEOUT_S = 10


def start():
    """Asks for the modes that only nvidia-smi tells; for `modes`."""
    return Command("nvidia-smi", "--query-gpu=pci.bus_id,persistence_mode,mig.mode.current", "--format=csv,noheader")


def modes(command):
    """({PCI address: (persistence mode, MIG mode)}, ""), or ({}, why it does not say)."""
    text, why = command.output(TIMEOUT_S)
    rows = [line.split(", ") for line in text.splitlines()]
    if why or not rows or any(len(row) != 3 for row in rows):
        return {}, why or "nvidia-smi says something else than asked for"
    return {address.lower()[-12:]: (mode, mig) for address, mode, mig in rows}, ""  # it writes 00000000:3B:00.0


def module():
    """Version of the module that the kernel runs; "" for none."""
    # Debian's own packages call it nvidia_current.
    return read(f"{MODULES}/nvidia/version") or read(f"{MODULES}/nvidia_current/version")


def look_at(persistence):
    return {
        "module": module(),
        "library": _library(),
        "gpus": sorted(_list(f"{PROC}/gpus")),
        "persistence": persistence,
    }


def compare(was, modes_seen):
    """(thing, how) of what differs; modes_seen: a function, asked only if persistence was recorded."""
    now = look_at(was["persistence"])
    if not now["module"]:
        yield "driver", "its kernel module is not loaded"
    elif now["module"] != was["module"]:
        yield "driver", f"module {now['module']} is loaded instead of {was['module'] or 'none'}"
    if not now["library"] or now["library"] != was["library"]:
        yield "driver", f"library {now['library'] or 'none'} instead of {was['library'] or 'none'}"
    for address in sorted({*was["gpus"], *now["gpus"]}):
        if address not in now["gpus"]:
            yield f"GPU {address}", "is gone"
        elif address not in was["gpus"]:
            yield f"GPU {address}", "is new"
    coming = boot_kernels.without_module()
    if coming:
        yield "next kernel", f"{coming} boots next and has no NVIDIA module"
    if was["persistence"]:
        found, why = modes_seen()
        if why:
            yield "driver", f"persistence mode is not known: {why}"
        for address, (mode, mig) in found.items():
            if mode != "Enabled":
                yield f"GPU {address}", f"persistence mode is {mode}"
            if mig == "Enabled":
                yield "driver", f"MIG is on on GPU {address}"


def _library():
    """Version of the library, read off the name that its link points to."""
    folders = [f"{LIBRARIES}/{name}" for name in sorted(_list(LIBRARIES)) if name.endswith("-linux-gnu")]
    for folder in [*folders, LIBRARIES_64]:
        link = f"{folder}/{LIBRARY}"
        if os.path.exists(link):
            return os.path.realpath(link).rpartition(".so.")[2]
    return ""


def _list(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []
