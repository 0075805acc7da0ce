"""Where the simulated kernel keeps what it shows, and what every simulated module does."""

import os
import stat
import subprocess
import sys
from pathlib import Path

STATE = Path("/run/simulated-kernel/nvidia")  # also mounted into containers that are handed a GPU
MODULES = Path("/run/simulated-kernel/module")  # seen as /sys/module
PROC = Path("/run/simulated-kernel/driver")  # seen as /proc/driver
PCI = Path("/sys/bus/pci/devices")
PCI_DRIVERS = Path("/run/simulated-kernel/pci-drivers")  # seen as /sys/bus/pci/drivers
LOG = Path("/run/simulated-kernel/log")
ERROR, INFO = 3, 6  # the kernel's log levels


def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)


def log(*lines, level=ERROR):
    """Adds lines to the kernel's log: level, seconds since boot, text, as /dev/kmsg gives them to dmesg."""
    now = float(Path("/proc/uptime").read_text().split()[0])
    with LOG.open("a") as stream:
        for line in lines:
            stream.write(f"<{level}>[{now:12.6f}] {line}\n")


def modinfo(module, field):
    """The field's lines of the module file that modprobe would load; None without such a file."""
    done = subprocess.run(["/usr/sbin/modinfo", "-F", field, module], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def loaded(module):
    return (MODULES / module).exists()


def show_module(module, version=""):
    """The module's directory in /sys/module."""
    directory = MODULES / module
    (directory / "holders").mkdir(parents=True)
    if version:
        (directory / "version").write_text(f"{version}\n")
    (directory / "initstate").write_text("live\n")
    (directory / "refcnt").write_text("0\n")


def driver_of(address):
    """The driver that a PCI device is bound to, or an empty string."""
    link = PCI / address / "driver"
    return os.path.basename(os.readlink(link)) if link.is_symlink() else ""


def bind(address, driver):
    link = PCI / address / "driver"
    link.unlink(missing_ok=True)
    link.symlink_to(f"../../../../bus/pci/drivers/{driver}")
    (PCI_DRIVERS / driver).mkdir(exist_ok=True)


def unbind_all(driver):
    for directory in PCI.iterdir():
        if driver_of(directory.name) == driver:
            (directory / "driver").unlink()
    if (PCI_DRIVERS / driver).exists():
        (PCI_DRIVERS / driver).rmdir()


def make_node(name):
    path = Path("/dev", name)
    if not path.exists():
        os.mknod(path, stat.S_IFCHR, os.makedev(1, 3))
        path.chmod(0o666)
