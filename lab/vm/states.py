"""Saved machines, over which others are made: each test starts from a disk that is as it should be."""

from pathlib import Path

from lab.home import Home
from lab.vm.machine import Machine

# What only a running system can do: GRUB's real menu.
SEAL = """
set -e
update-grub
apt-get update -q
sync
"""


def folder(home: Home, name: str) -> Path:
    return home.directory("vm", "machines") / name


def sealed(home: Home, disk: Path) -> Path:
    """The folder of the machine after its first boot, switched off; made once for each disk."""
    place = folder(home, f"sealed-{disk.name}")
    if not (place / "whole").exists():
        machine = Machine(home, disk, place).create()
        try:
            machine.start()
            machine.await_boot()
            machine.reported(SEAL)
            machine.power_off()
        finally:
            machine.kill()
        (place / "whole").touch()
    return place
