"""Stories: tests that share servers run one after the other; stories run two at a time, the longest first.

`bin/test` tells every kind of story, `bin/test --all` every one.
"""

from __future__ import annotations

import os
import re
import tomllib

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.paths import PROJECT

FAULTS = tomllib.loads((PROJECT / "lab/faults.toml").read_text())
EVERYTHING = bool(os.environ.get("DGCTL_TEST_ALL"))
with_all = pytest.mark.skipif(not EVERYTHING, reason="bin/test --all runs it")

# A test's file, by its number, and the story that it belongs to.
_BY_NUMBER = {
    **dict.fromkeys(("01", "02", "03", "04", "05", "06", "23"), "server"),
    "07": "molecule",
    **dict.fromkeys(("14", "24"), "workshop"),
    "08": "fleet",
    "09": "podman",
    "12": "el9",
    "13": "boards",
    "15": "looks",
    "17": "apart",
    "18": "license",
    "19": "products",
    "20": "images",
    "21": "airgap",
    "22": "rotation",
}
# The order in which they begin: those that take longest come first.
_ORDER = ("server", "fleet", "rotation", "workshop", "products", "license", "boards", "podman", "apart")
# What a drill needs of a GPU that the workshop's server (an A100 and a T4) has.
WORKSHOP_HAS = ("any", "none", "mig")


def of(nodeid: str) -> str:
    """The story of a test, by its id."""
    number, _, reported = re.search(r"test_(\d+)_\w+\.py(::\w+(?:\[(.*)\])?)?", nodeid).groups()
    return _BY_NUMBER.get(number) or _by_place(number, reported or "")


def _by_place(number: str, reported: str) -> str:
    """Of a test whose parameters say where it takes place: a way to provision a system, a drill's ground."""
    if number == "11":
        return reported
    ground = re.match(r"(docker|podman)-([a-z]+\d+)-", reported)
    if ground and ground[0] != "docker-debian13-":
        return f"drills-{ground[0].rstrip('-')}"
    name = reported.removeprefix("docker-debian13-")
    # Without parameters, and without any that apply (pytest calls that NOTSET), it is about the table of drills itself.
    return "workshop" if name not in FAULTS or FAULTS[name]["gpu"] in WORKSHOP_HAS else "boards"


def rank(story: str) -> int:
    return _ORDER.index(story) if story in _ORDER else len(_ORDER)


class Stories(LoadScopeScheduling):
    """pytest-xdist's scheduler, which keeps the tests of a scope in one process, with stories as scopes."""

    def _split_scope(self, nodeid: str) -> str:
        return of(nodeid)
