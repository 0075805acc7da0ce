"""What NVML would answer: the GPUs that can be seen from here, or the reason why there are none."""

import ctypes
import json
import os
from pathlib import Path

STATE = Path("/run/simulated-kernel/nvidia")
DEV = Path("/dev")
KERNEL = "/usr/lib/simulated-kernel/nvidia"
NOT_LOADED = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
    "Make sure that the latest NVIDIA driver is installed and running."
)
NO_LIBRARY = (
    "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure that the NVIDIA Display "
    "Driver is properly installed and present in your system.\n"
    "Please also try adding directory that contains libnvidia-ml.so to your system PATH."
)
LOST = "Unable to determine the device handle for GPU{bus}: GPU is lost.  Reboot the system to recover this GPU"
# 615 and 620 are guesses: NVIDIA had not said when this was written.
CUDA = {
    570: "12.8", 575: "12.9", 580: "13.0", 590: "13.1", 595: "13.2", 610: "13.3", 615: "13.4", 620: "13.5",
}  # fmt: skip


class SmiError(Exception):
    """What nvidia-smi prints on stdout, and its exit code."""

    def __init__(self, text, code):
        super().__init__(text)
        self.code = code


def library_version():
    """Version of the libnvidia-ml.so.1 that the dynamic loader finds."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        raise SmiError(NO_LIBRARY, 12) from None
    return ctypes.c_char_p.in_dll(library, "simulated_version").value.decode()


def branch(version):
    return int(version.split(".")[0])


def cuda_version(version):
    return CUDA[max(known for known in CUDA if known <= branch(version))]


def openable(node):
    try:
        os.close(os.open(node, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return False
    except OSError:  # the device cgroup refuses it
        raise SmiError("Failed to initialize NVML: Unknown Error", 255) from None
    return True


def tell_kernel(library):
    """The driver notes in the kernel's log which library came to it. A container has no such path."""
    if os.path.exists(KERNEL):
        import subprocess  # a third of this program's time, and seldom needed

        subprocess.run([KERNEL, "client", library], capture_output=True)


def kernel_state(library):
    """The loaded driver's answer; SmiError when there is none, or when the library is not its own."""
    try:
        state = json.loads((STATE / "gpus.json").read_text())
    except FileNotFoundError:
        raise SmiError(NOT_LOADED, 9) from None
    if not openable(DEV / "nvidiactl"):
        raise SmiError(NOT_LOADED, 9)
    if state["version"] != library:
        tell_kernel(library)
        raise SmiError(
            "Failed to initialize NVML: Driver/library version mismatch\n"
            f"NVML library version: {'.'.join(library.split('.')[:2])}",
            18,
        )
    return state


def visible_gpus():
    """The initialised GPUs whose nodes can be opened, lost ones among them, with what the fields need."""
    state = kernel_state(library_version())
    seen = [gpu for gpu in state["gpus"] if gpu["initialised"] and openable(DEV / f"nvidia{gpu['minor']}")]
    if not seen:
        raise SmiError("No devices were found", 6)
    mode = STATE / "persistence"
    common = {
        "driver": state["version"],
        "count": len(seen),
        "persistence": mode.read_text().strip() if mode.exists() else "Disabled",
    }
    return [
        gpu | common | fabric(gpu) | {"index": index, "smi_bus_id": "0000" + gpu["bus_id"].upper()}
        for index, gpu in enumerate(seen)
    ]


def fabric(gpu):
    """State of the NVLink fabric: only Hopper and newer tell, and it is Fabric Manager that completes it."""
    if not gpu["switch"] or gpu["generation"] == "ampere":
        return {"fabric.state": "N/A", "fabric.status": "N/A"}
    if (STATE / "fabric").exists():
        return {"fabric.state": "Completed", "fabric.status": "Success"}
    return {"fabric.state": "In Progress", "fabric.status": "[N/A]"}


def refuse_lost(gpus):
    """SmiError for the first GPU that has fallen off the bus."""
    for gpu in gpus:
        if gpu["health"]["lost"]:
            raise SmiError(LOST.format(bus=gpu["bus_id"].upper()), 15)


def chosen(gpus, desired):
    """`-i 0,GPU-...,00000000:3B:00.0`"""
    if desired is None:
        return gpus
    found = []
    for one in desired.split(","):
        names = one.upper(), "0000" + one.upper()
        match = [
            gpu for gpu in gpus
            if {str(gpu["index"]), gpu["uuid"].upper(), gpu["smi_bus_id"]} & {*names}
        ]  # fmt: skip
        if not match:
            raise SmiError("No devices were found", 6)
        found += match
    return found
