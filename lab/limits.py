"""Limits of this machine's kernel that many servers need higher: each runs a systemd and a Docker of its own."""

from __future__ import annotations

from pathlib import Path

from lab.shell import say

# Setting -> value that forty servers need.
NEEDED = {
    "fs/inotify/max_user_instances": 8192,
    "fs/inotify/max_user_watches": 1048576,
    "kernel/keys/maxkeys": 20000,
}
FEW = 8  # servers that every machine's own limits suffice for


def ensure(count: int, root: Path = Path("/proc/sys")) -> None:
    """Raises the limits that `count` servers need, and says so; a reboot of the machine puts them back."""
    if count <= FEW:
        return
    for name, value in NEEDED.items():
        path = root / name
        now = int(path.read_text())
        if now < value:
            path.write_text(f"{value}\n")
            say(f"Raised {name.replace('/', '.')} on this machine from {now} to {value}, for {count} servers.")
