"""What a host says about its NVIDIA GPUs: PCI devices, loaded module, libraries, nvidia-smi.

Everything here only reads. Versions are strings such as "580.173.02"; "" stands for none.
"""

import glob
import os
import re

from ansible.module_utils.host.files import read
from ansible.module_utils.host.outcome import last_line, run

VENDOR = "0x10de"
# VGA controllers and, for data-centre cards, 3D controllers; not audio (0403), USB (0c03), NVSwitch (0680).
GPU_CLASSES = ("0x0300", "0x0302")
VERSION = r"(\d+\.\d+(?:\.\d+)?)"
LIBRARIES = ("/usr/lib/*-linux-gnu/libnvidia-ml.so.1", "/usr/lib64/libnvidia-ml.so.1")
SMI_FIELDS = (
    "name",
    "uuid",
    "pci.bus_id",
    "driver_version",
    "memory.total",
    "persistence_mode",
    "mig.mode.current",
)


def pci_gpus(root="/sys/bus/pci/devices"):
    """[{address: "0000:3b:00.0", id: "10de:1eb8"}] of the NVIDIA GPUs on the bus, by address."""
    gpus = []
    for device in sorted(glob.glob(os.path.join(root, "*"))):
        if read(os.path.join(device, "vendor")) != VENDOR:
            continue
        if read(os.path.join(device, "class"))[:6] not in GPU_CLASSES:
            continue
        if os.path.basename(os.path.realpath(os.path.join(device, "driver"))) == "vfio-pci":
            continue  # handed to a virtual machine
        model = read(os.path.join(device, "device"))[2:].lower()
        gpus.append({"address": os.path.basename(device), "id": "10de:" + model})
    return gpus


def loaded_version(root="/sys/module"):
    """Version of the nvidia module in the kernel; Debian's own packages call the module nvidia_current."""
    return read(os.path.join(root, "nvidia", "version")) or read(os.path.join(root, "nvidia_current", "version"))


def gpu_information(root="/proc/driver/nvidia/gpus"):
    """What the loaded driver says of its GPUs, as one text: their UUIDs stand in it."""
    return "\n".join(read(path) for path in sorted(glob.glob(os.path.join(root, "*", "information"))))


def loaded_flavour(path="/proc/driver/nvidia/version"):
    """ "open" or "proprietary": the flavour of the loaded module; "" for none."""
    reported = read(path)
    return ("open" if "Open Kernel Module" in reported else "proprietary") if reported else ""


def module_loaded(name, root="/sys/module"):
    return os.path.isdir(os.path.join(root, name))


def module_file_version():
    """Version of the module file that modprobe would load into the running kernel."""
    rc, out, _err = run(["modinfo", "-F", "version", "nvidia"])
    return out.strip() if rc == 0 else ""


def library_version(patterns=LIBRARIES, cache=None):
    """Version of the installed user-space library, read off the name that its link points to.

    Where the distribution's own folders have none, the dynamic linker is asked: some images mount the driver elsewhere.
    `cache`: a function that returns what `ldconfig -p` says.
    """
    links = sorted(path for pattern in patterns for path in glob.glob(pattern))
    for link in links or cached_libraries(cache() if cache else run(["ldconfig", "-p"])[1]):
        match = re.search(r"\.so\." + VERSION + "$", os.path.realpath(link))
        if match:
            return match.group(1)
    return ""


def cached_libraries(text):
    """Paths of the library for this machine's word size in what `ldconfig -p` says, in the linker's order."""
    return re.findall(r"^\s*libnvidia-ml\.so\.1 \([^)]*x86-64[^)]*\) => (/\S+)$", text, re.MULTILINE)


def smi_gpus(timeout=60):
    """(list of one dict a GPU keyed by SMI_FIELDS, error). The list is empty when nvidia-smi fails."""
    argv = ["nvidia-smi", "--query-gpu=" + ",".join(SMI_FIELDS), "--format=csv,noheader,nounits"]
    rc, out, err = run(argv, timeout)
    if rc != 0:
        return [], last_line(out) or last_line(err) or f"nvidia-smi ended with status {rc}"
    rows = [[cell.strip() for cell in line.split(",")] for line in out.splitlines() if line.strip()]
    gpus = [dict(zip(SMI_FIELDS, row)) for row in rows if len(row) == len(SMI_FIELDS)]
    return gpus, "" if gpus else last_line(out)


def mig_enabled(cards):
    """PCI addresses of those of smi_gpus() that have MIG on."""
    return [card["pci.bus_id"] for card in cards if card.get("mig.mode.current") == "Enabled"]
