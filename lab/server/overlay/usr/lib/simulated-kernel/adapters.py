"""The GPUs and switches on the PCI bus, and what a driver of a given version and flavour makes of each."""

import json

from places import PCI, driver_of

GENERATIONS = {"2.5": 1, "5.0": 2, "8.0": 3, "16.0": 4, "32.0": 5}
NO_GSP = """\
NVRM: The NVIDIA GPU {bus} (PCI ID: 10de:{device})
NVRM: installed in this system is not supported by open
NVRM: nvidia.ko because it does not include the required GPU
NVRM: System Processor (GSP).
NVRM: Please see the 'Open Linux Kernel Modules' and 'GSP
NVRM: Firmware' sections in the driver README, available on
NVRM: the Linux graphics driver download page at
NVRM: www.nvidia.com.
nvidia {bus}: probe with driver nvidia failed with error -1"""
LEGACY = """\
NVRM: The NVIDIA {name} GPU installed in this system is
NVRM:  supported through the NVIDIA {last}.xx Legacy drivers. Please
NVRM:  visit http://www.nvidia.com/object/unix.html for more
NVRM:  information.  The {version} NVIDIA driver will ignore
NVRM:  this GPU.  Continuing probe..."""
UNKNOWN = """\
NVRM: The NVIDIA GPU {bus} (PCI ID: 10de:{device})
NVRM: installed in this system is not supported by the
NVRM: NVIDIA {version} driver release.
NVRM: Please see 'Appendix A - Supported NVIDIA GPU Products'
NVRM: in this release's README, available on the operating system
NVRM: specific graphics driver download page at www.nvidia.com.
nvidia {bus}: probe with driver nvidia failed with error -1"""
# The codes are those of a GB200 under a proprietary 580 module; desktop Blackwells say 0x22:0x56:884.
NEEDS_OPEN = """\
NVRM: The NVIDIA GPU {bus} (PCI ID: 10de:{device})
NVRM: installed in this system requires use of the NVIDIA open kernel modules.
NVRM: GPU {bus}: RmInitAdapter failed! (0x62:0x1a:2631)
NVRM: Xid (PCI:{slot}): 169, GPU initialization failed
NVRM: GPU {bus}: rm_init_adapter failed, device minor number {minor}"""


def devices(classes, vendor="0x10de"):
    """Directories of the vendor's PCI devices of these classes, in bus order."""
    found = []
    for directory in sorted(PCI.iterdir()):
        if (directory / "class").read_text()[:6] in classes and (directory / "vendor").read_text().strip() == vendor:
            found.append(directory)
    return found


def switches():
    """Addresses of the NVSwitches that are PCI devices."""
    return [directory.name for directory in devices(("0x0680",))]


def gpus():
    """Descriptions of the GPUs on the PCI bus, in bus order, with what the link does now."""
    found = []
    for directory in devices(("0x0300", "0x0302")):
        speed = (directory / "current_link_speed").read_text().split()[0]
        link = {"link_gen": GENERATIONS[speed], "link_width": int((directory / "current_link_width").read_text())}
        found.append(json.loads((directory / "simulated.json").read_text()) | link)
    return found


def probe(card, version, open_flavour):
    """("bound", "failed" or "refused", what the kernel's log says): whether the driver takes the GPU and can start it."""
    branch, (first, last) = int(version.split(".")[0]), card["branches"]
    words = {"bus": card["bus_id"], "slot": card["bus_id"][:-2], "last": last, "version": version}
    words |= {"device": card["device"], "name": card["name"], "minor": card.get("minor", 0)}
    if open_flavour and not card["open"]:
        return "refused", NO_GSP.format(**words).splitlines()
    if last and branch > int(last):
        return "refused", LEGACY.format(**words).splitlines()
    if branch < int(first):
        return "refused", UNKNOWN.format(**words).splitlines()
    if not open_flavour and not card["proprietary"]:
        return "failed", NEEDS_OPEN.format(**words).splitlines()
    return "bound", []


def taken(card):
    """The other driver that has the GPU, or an empty string."""
    driver = driver_of(card["bus_id"])
    return "" if driver == "nvidia" else driver


def driven(version, open_flavour):
    """(cards that the driver takes, with minor and whether they start; lines for the kernel's log)."""
    mine, lines = [], []
    for card in gpus():
        if taken(card):
            continue
        card["minor"] = len(mine)
        verdict, reported = probe(card, version, open_flavour)
        lines += reported
        if verdict != "refused":
            mine.append(card | {"initialised": verdict == "bound"})
    return mine, lines
