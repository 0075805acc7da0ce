"""Medians, ratios and verdicts."""

import pytest

from bench.measure import Cost
from bench.parts.right import connecting
from bench.parts.right import verdicts as right_verdicts
from bench.statistics import Verdict, growth, medians


def cost(wall: float, cpu: float = 1.0, peak: float = 10.0) -> Cost:
    return Cost(wall, cpu, peak, peak * 2, 0)


def test_medians_are_of_each_number_alone():
    found = medians([cost(1, cpu=9), cost(5, cpu=1), cost(2, cpu=2)])
    assert (found["wall_s"], found["cpu_s"], found["repeat"]) == (2, 2, 3)
    assert [run["wall_s"] for run in found["runs"]] == [1, 5, 2]


@pytest.mark.parametrize(
    ("value", "limit", "at_least", "verdict"),
    [
        (40, 40, True, "pass"),
        (39.9, 40, True, "fail"),
        (3, 3, False, "pass"),
        (3.1, 3, False, "fail"),
        (9, None, False, "-"),
    ],
)
def test_verdict(value, limit, at_least, verdict):
    found = Verdict("right", "wall", value, limit, at_least)
    assert found.verdict == verdict
    assert found.document()["verdict"] == verdict


def test_growth_is_per_host():
    assert growth([(1000, 50.0), (250, 12.5)]) == 1
    assert growth([(250, 12.5), (500, 30.0), (1000, 100.0)]) == 2


def test_right_compares_cold_with_cold_and_warm_with_warm():
    numbers = {"dgctl_cold": 6, "dgctl_warm": 2, "ssh_cold": 3, "ssh_warm": 1, "pyinfra": 30, "ansible_playbook": 300}
    found = {v.what: v for v in right_verdicts({name: medians([cost(n, n)]) for name, n in numbers.items()})}
    assert found["wall: ansible-playbook / dgctl"].value == 50
    assert found["wall: dgctl / pyinfra"].value == 0.2
    assert found["wall: dgctl / SSH with one script, cold"].value == 2
    assert found["wall: dgctl / SSH with one script, warm"].value == 2
    assert found["controller CPU: dgctl / SSH with one script, warm"].verdict == "-"
    assert all(verdict.verdict != "fail" for verdict in found.values())


def test_connecting_is_what_cold_looks_take_longer():
    seconds = {"cold": [3.0, 3.5, 9.0], "warm": [1.0, 1.25, 1.5]}
    assert connecting([{"connections": state, "look": s} for state, found in seconds.items() for s in found]) == 2.25
