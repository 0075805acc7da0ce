"""models.lock beside what a server has: its lines are no variable of a role, and no part of a fingerprint.

A server's first run writes them, after its role was recorded: as a part of the fingerprint they would have it run twice.
"""

from __future__ import annotations

from pathlib import Path

from dgctl.deployment import models
from dgctl.deployment.deployment import Host
from dgctl.plan.look import Seen

ROLE = "deepgram_models"
SHOWN = 12  # digits of a sum, as git shows them


def compare(inventory: Path, host: Host, seen: Seen) -> None:
    """Adds to what was seen of the models' role each file that models.lock wants with another checksum."""
    differing = models.differing(inventory, host, seen.reports) if ROLE in seen.roles else {}
    if differing:
        seen.roles[ROLE]["asked"] = [
            {"thing": f"model {name}", "how": _how(has[:SHOWN], asked[:SHOWN])}
            for name, (has, asked) in sorted(differing.items())
        ]


def _how(has: str, asked: str) -> str:
    return f"another checksum is asked for: {asked}... ({models.LOCK.file}), and the server's is {has}..."
