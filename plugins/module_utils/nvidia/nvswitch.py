"""NVSwitch boards: which one a host has, read off its PCI devices. Only reads.

`boards` is the table _platform_nvswitch.
"""

import glob
import os

from ansible.module_utils.host.files import read

PCI = "/sys/bus/pci/devices"


def board(boards, families=(), root=PCI):
    """The key of the host's board in the table; "" where no GPU is behind a switch.

    families: boards that GPUs like the host's sit on; only for these is the product data of other cards read.
    """
    devices = sorted(glob.glob(os.path.join(root, "*")))
    ids = {_id(device) for device in devices}
    for key, row in boards.items():
        if ids & set(row.get("bridges", [])) or (key in families and _managed(row.get("managed_by"), devices)):
            return key
    return ""


def _id(device):
    """ "10de:22a3"; a switch that is handed to a virtual machine is not this host's."""
    if os.path.basename(os.path.realpath(os.path.join(device, "driver"))) == "vfio-pci":
        return ""
    return "{}:{}".format(*(read(os.path.join(device, name))[2:].lower() for name in ("vendor", "device")))


def _managed(way, devices):
    """Does a network function of this vendor say in its vital product data that it leads to switches?"""
    if not way:
        return False
    cards = [device for device in devices if _id(device).startswith(way["vendor"] + ":")]
    return any(way["vpd"] in read(os.path.join(device, "vpd")) for device in cards)


def packages(table, source, manager, needs, branch):
    """([{name, own_version}], words without a package) for what a board needs.

    table: _platform_nvswitch_packages; source: nvidia or distribution; manager: apt or dnf; branch: such as "580".
    """
    known = table.get(source, {}).get(manager, {})
    found, missing = [], []
    for word in needs:
        fitting = [row for row in known.get(word, []) if row["from"] <= int(branch)]
        if fitting:
            name = fitting[0]["name"].replace("BRANCH", branch)
            found.append({"name": name, "own_version": bool(fitting[0].get("own_version"))})
        else:
            missing.append(word)
    return found, missing
