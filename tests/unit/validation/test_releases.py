"""The table of releases: what it says of drivers, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgctl import content
from dgctl.content import releases
from tests.unit.conftest import CHECKOUT
from tests.unit.validating import problems_with as problems


@pytest.mark.parametrize(
    ("release", "floor"),
    [
        ("release-230704", None),
        ("release-231207", "525.60.13"),
        ("release-250601", "550.163.01"),
        ("release-260714", "570.172.08"),
        ("release-260826", "570.172.08"),  # Engine 3.128.0: "unchanged at >=570.172.08", self-hosted-resources PR 187
        ("release-260826-fips", "570.172.08"),
        ("release-260915", "580"),  # chart 0.46.0, PR 189: driver 580.173.02 with open modules
        ("release-261001", "580"),
        ("latest", None),
    ],
)
def test_the_floor_is_that_of_the_last_change_before(release: str, floor: str | None) -> None:
    need = releases.driver(release)
    assert (need and need.at_least) == floor


@pytest.mark.parametrize(
    ("release", "driver", "fits"),
    [
        ("release-260714", "570.172.08", True),
        ("release-260714", "570.133.20", False),
        ("release-260714", "570", True),  # the branch's newest
        ("release-260714", "580.95.05", True),
        ("release-260812", "570.195.03", True),
        ("release-260826", "570.172.08", True),
        ("release-260826", "570.133.20", False),
        ("release-260915", "570.195.03", False),
        ("release-260812", "580.65.06", True),
        ("release-260812", "580.173.02-1ubuntu1", True),
        ("release-250130", "570.86.10", False),  # too new for it
        ("release-250130", "561.9", True),
        ("latest", "1.0", True),
    ],
)
def test_which_driver_fits(release: str, driver: str, fits: bool) -> None:
    need = releases.driver(release)
    assert (not need or not need.lacks(driver)) == fits


def test_the_table_is_in_order() -> None:
    known = [entry["from"] for entry in content.read(CHECKOUT / "dgctl/content/releases.yml")["drivers"]]
    assert known == sorted(known)


def release(tag: str) -> None:
    path = Path("inventory.ini")
    path.write_text(path.read_text().replace("release-260812", tag))


def test_a_branch_below_the_floor_is_refused_before_any_server_is_asked(checkout: Path, folder: Path) -> None:
    release("release-260915")
    (found,) = problems("nvidia_driver_branch: '570'")
    assert found.what == "release-260915 needs driver 580 or newer" and found.fix == "set nvidia_driver_branch to 580"
    assert found.where == "group_vars/all/main.yml:4" and found.value == "nvidia_driver_branch: 570"


def test_an_exact_version_below_the_floor_is_refused(checkout: Path, folder: Path) -> None:
    release("release-260714")
    (found,) = problems("nvidia_driver_branch: '570'", "nvidia_driver_version: 570.133.20")
    assert found.fix == "set nvidia_driver_version to 570.172.08"


def test_a_release_too_old_to_be_started_is_refused(checkout: Path, folder: Path) -> None:
    release("release-260226")
    (found,) = problems()
    assert (
        "--log-format" in found.what and found.fix == "use release-260319 or newer" and found.where == "inventory.ini:7"
    )
