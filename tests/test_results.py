"""The page of what a whole run applied."""

from collections import Counter

from tests.scenarios.results import page

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


def test_each_drill_on_each_ground() -> None:
    lines = page(OUTCOMES, SECONDS, "Today.").splitlines()
    assert lines[:3] == ["# What was applied, and how it went", "", "Today."]
    at = lines.index("| Fault | debian13, docker | debian13, podman |")
    assert lines[at + 2 : at + 4] == ["| `gpu-missing` | passed |  |", "| `cdi-stale` | failed | passed |"]


def test_ways_and_stories_are_counted() -> None:
    text = page(OUTCOMES, SECONDS, "")
    assert "| `debian12-docker-nvidia-580` | 1 | 1 |  |" in text
    assert "| `test_10_drills` | 3 | 1 |  |" in text and "| `test_11_systems` | 1 | 1 |  |" in text


def test_the_slowest_story_comes_first() -> None:
    lines = page(OUTCOMES, SECONDS, "").splitlines()
    at = lines.index("| Story | seconds |")
    assert lines[at + 2 : at + 4] == ["| `fleet` | 500 |", "| `podman` | 61 |"]
