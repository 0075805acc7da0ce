"""The page of what a whole run applied."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.paths import PROJECT
from tests.scenarios.support import results

FILE = "tests/scenarios/test_10_drills.py::test_drill"
OUTCOMES = {
    f"{FILE}[docker-debian13-gpu-missing]": "passed",
    f"{FILE}[docker-debian13-cdi-stale]": "failed",
    f"{FILE}[podman-debian13-cdi-stale]": "passed",
    "tests/scenarios/test_10_drills.py::test_every_fault_has_a_drill": "passed",
    "tests/scenarios/test_11_systems.py::test_provision_and_verify[debian12-docker-nvidia-580]": "passed",
    "tests/scenarios/test_11_systems.py::test_the_second_run_changes_nothing[debian12-docker-nvidia-580]": "failed",
}
SECONDS = Counter({"podman": 61.4, "fleet": 500.0})
TOLD = results.reported(
    OUTCOMES, SECONDS, "abc1234", "2026-11-29", lambda test: "podman" if "podman" in test else "fleet"
)


def test_each_drill_on_each_ground() -> None:
    lines = results.page(TOLD).splitlines()
    assert "4 of 6 tests passed" in lines[2]
    at = lines.index("| Fault | debian13, docker | debian13, podman |")
    assert set(lines[at + 2 : at + 4]) == {"| `gpu-missing` | passed |  |", "| `cdi-stale` | failed | passed |"}


def test_ways_and_stories_are_counted() -> None:
    text = results.page(TOLD)
    assert "| `debian12-docker-nvidia-580` | 1 | 1 |  |" in text
    assert "| `test_10_drills` | 3 | 1 |  |" in text and "| `test_11_systems` | 1 | 1 |  |" in text


def test_the_slowest_story_comes_first() -> None:
    lines = results.page(TOLD).splitlines()
    at = lines.index("| Story | commit | day | passed | of | seconds |")
    assert lines[at + 2] == "| `fleet` | abc1234 | 2026-11-29 | 3 | 5 | 500 |"
    assert lines[at + 3] == "| `podman` | abc1234 | 2026-11-29 | 1 | 1 | 61 |"


def test_a_story_told_again_takes_the_place_of_what_was_kept(tmp_path) -> None:
    results.retained(tmp_path, TOLD)
    again = results.Told("podman", "def5678", "2026-11-30", {"x": "failed"}, 7)
    found = {one.story: one for one in results.retained(tmp_path, [again])}
    assert set(found) == {"fleet", "podman"} and found["podman"] == again and found["fleet"].commit == "abc1234"


@pytest.mark.parametrize("everything", ["", "1"])
def test_every_test_of_the_stories_belongs_to_one(everything) -> None:
    """Collected as `bin/test` and as `bin/test --all` do, each in a process of its own."""
    words = [sys.executable, "-m", "pytest", "tests/scenarios", "--collect-only", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "DGCTL_TEST_ALL": everything, "DGCTL_TEST_ONLY": "workshop boards podman"}
    done = subprocess.run(words, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "test_10_drills.py" in done.stdout and "test_11_systems.py" not in done.stdout
