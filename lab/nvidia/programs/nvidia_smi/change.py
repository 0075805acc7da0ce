"""What nvidia-smi changes: persistence mode, MIG mode, a reset. The simulated kernel keeps the GPU's state."""

import subprocess

from . import driver
from .driver import SmiError

MODES = {"0": "Disabled", "DISABLED": "Disabled", "1": "Enabled", "ENABLED": "Enabled"}
IN_USE = (
    "{count} device is currently being used by one or more other processes (e.g., Fabric Manager, CUDA application, "
    "graphics application such as an X server, or a monitoring application such as another instance of nvidia-smi). "
    "Please first kill all processes using this device and all compute applications running in the system."
)


def kernel(*arguments):
    """Whether the simulated kernel did it; it says no while somebody uses the GPU."""
    try:
        return subprocess.run([driver.KERNEL, *arguments], capture_output=True).returncode == 0
    except OSError:  # inside a container
        raise SmiError("Unable to change the GPU: Insufficient Permissions", 4) from None


def mode(value):
    if value.upper() not in MODES:
        raise SmiError(f"Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n{value}", 2)
    return MODES[value.upper()]


def persistence(gpus, value):
    desired = mode(value)
    (driver.STATE / "persistence").write_text(desired + "\n")
    lines = [f"{desired} persistence mode for GPU {gpu['smi_bus_id']}." for gpu in gpus]
    return "\n".join([*lines, "All done."])


def mig(gpus, value):
    """Takes effect at once on an idle GPU; on one in use it waits for a reset."""
    desired, lines = mode(value), []
    for gpu in gpus:
        name = f"MIG Mode for GPU {gpu['smi_bus_id']}"
        if not gpu["mig"]:
            lines += [f"Unable to {desired[:-1].lower()} {name}: Not Supported", "Treating as warning and moving on."]
        elif kernel("mig", gpu["bus_id"], desired):
            lines.append(f"{desired} {name}")
        else:
            pending = f"{desired[:-1].lower()} state for GPU {gpu['smi_bus_id']}:In use by another client"
            lines.append(f"Warning: MIG mode is in pending {pending}")
    return "\n".join([*lines, "All done."])


def reset(gpus):
    """`-r`: refused while a process has the GPU open."""
    lines, busy = [], []
    for gpu in gpus:
        done = kernel("reset", gpu["bus_id"])
        (lines if done else busy).append(gpu["smi_bus_id"])
    done = [f"GPU {bus} was successfully reset." for bus in lines]
    if not busy:
        return "\n".join([*done, "All done."])
    refused = [f"  GPU {bus}: In use by another client" for bus in busy]
    reported = IN_USE.format(count=len(busy))
    raise SmiError("\n".join([*done, "The following GPUs could not be reset:", *refused, "", reported]), 255)
