"""Stories: tests that share servers run one after the other; stories run two at a time, the longest first.

A story's name is its pytest-xdist group. `bin/test` tells every kind of story, `bin/test --all` every one.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

EVERYTHING = bool(os.environ.get("DGCTL_TEST_ALL"))
with_all = pytest.mark.skipif(not EVERYTHING, reason="bin/test --all runs it")

# A test's file, by its number, and the story that it belongs to.
_BY_NUMBER = {
    **dict.fromkeys(("01", "02", "03", "04", "05", "06"), "server"),
    "14": "workshop",
    "08": "fleet",
    "09": "podman",
    "12": "el9",
    "13": "boards",
    "15": "looks",
    "16": "profiles",
    "17": "apart",
    "18": "license",
}
# The order in which they begin: those that take longest come first.
_ORDER = ("fleet", "server", "workshop", "boards", "apart")
# What a drill needs of a GPU that the workshop's server (an A100 and a T4) has.
WORKSHOP_HAS = ("any", "none", "mig")


def of(item: pytest.Item) -> str:
    """The story of a collected test."""
    number = re.search(r"test_(\d+)_", item.nodeid)[1]
    return _BY_NUMBER.get(number) or _by_place(number, getattr(item, "callspec", None))


def _by_place(number: str, call: Any) -> str:
    """Of a test whose parameters say where it takes place: a drill's ground, a way to provision a system."""
    if call is None:
        return "workshop"
    if number == "11":
        return "-".join(call.params["lab"])
    engine, system = call.params["ground"]
    if (engine, system) != ("docker", "debian13"):
        return f"drills-{engine}-{system}"
    return "workshop" if call.params["needs"] in WORKSHOP_HAS else "boards"


def rank(story: str) -> int:
    return _ORDER.index(story) if story in _ORDER else len(_ORDER)
