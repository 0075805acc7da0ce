"""What Deepgram's releases need of the driver, and what older ones lack. The table is releases.yml."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgctl import content
from dgctl.base.errors import Problem

_TAG = re.compile(r"release-(\d{6})(?!\d)")


@dataclass(frozen=True)
class Need:
    """Versions of the NVIDIA driver: `at_least` and, "" for none, `at_most` (a branch, such as "561", is meant whole)."""

    at_least: str
    at_most: str = ""

    def lacks(self, version: str) -> bool:
        """Whether a driver's version, or a branch in its newest version, does not do."""
        return _below(version, self.at_least) or bool(self.at_most and _major(version) > _major(self.at_most))

    def __str__(self) -> str:
        return f"{self.at_least} or newer" + (f", up to {self.at_most}" if self.at_most else "")


def date_of(release: str) -> int:
    """260812 of release-260812 and release-260812-fips; 0 for what is no such tag."""
    found = _TAG.match(release)
    return int(found[1]) if found else 0


def driver(release: str) -> Need | None:
    """What a release needs of the driver; None for one that the table does not know."""
    known = [entry for entry in _table()["drivers"] if entry["from"] <= date_of(release)]
    return Need(known[-1]["at_least"], known[-1].get("at_most", "")) if known else None


def not_in_branch(release: str, branch: str, version: str, place: str) -> Problem | None:
    """What is wrong with the wanted driver: its branch ("580") and, "" for the newest, its version."""
    need = driver(release)
    desired = version if not branch or version.split(".")[0] == branch else branch  # another branch's is refused anyway
    if not need or not re.match(r"\d{3}", desired) or not need.lacks(desired):
        return None
    name = "nvidia_driver_branch" if desired == branch else "nvidia_driver_version"
    return Problem(
        f"{release} needs driver {need}",
        place,
        f"{name}: {desired}",
        f"set {name} to {need.at_least if desired == version else _major(need.at_least)}",
    )


def missing(release: str, profile: str) -> Problem | None:
    """What a release is too old for: to be started by this dgctl, or to serve a profile."""
    first = _table()["first"]
    for name in ("log_format", profile):
        if name in first and 0 < date_of(release) < first[name]["release"]:
            since = f"release-{first[name]['release']}"
            return Problem(f"{release} lacks {first[name]['what']}", "", release, f"use {since} or newer")
    return None


@functools.cache
def _table() -> dict[str, Any]:
    return content.read(Path(__file__).with_name("releases.yml"))


def _below(version: str, floor: str) -> bool:
    """A branch counts as its newest version: which that is, only the repository knows."""
    parts, needed = _parts(version), _parts(floor)
    return parts[0] < needed[0] if len(parts) == 1 else parts < needed


def _parts(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version.partition("-")[0])]


def _major(version: str) -> int:
    return _parts(version)[0]
