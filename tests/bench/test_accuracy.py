"""`bin/bench --only accuracy`: benches of the lab's API and Engine with a capacity that is known, on a clock that jumps."""

import json
import subprocess
import sys

import pytest

from bench.parts.accuracy import SHAPES, TROUBLES, near, planned, verdicts
from lab.deepgram.programs.inference.curve import BOUND_S, Curve
from tests.paths import PROJECT


def trial(*words):
    done = subprocess.run(
        [sys.executable, "-m", "bench.accuracy.trial", *words], cwd=PROJECT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_bench_finds_a_capacity_that_is_known():
    found = trial("smooth 3 5 1", "none", "1")
    assert (found["knows"], found["sustained"]) == (3, True) and near(found)
    assert 300 < found["seconds"] < 720, "by its own clock, whatever it took here"


def test_a_bench_that_is_disturbed_gives_no_number():
    found = trial("smooth 3 5 1", "stalled", "1")
    assert found["holds"] is None and "this machine sent late" in found["says"]


@pytest.mark.parametrize("kind", ["smooth", "cliff"])
@pytest.mark.parametrize("capacity", [1, 12, 90])
def test_the_curve_passes_the_bound_after_its_capacity(kind, capacity):
    curve = Curve(f"{kind} {capacity}")
    assert curve.mean_s(capacity) <= BOUND_S < curve.mean_s(capacity + 1)
    assert curve.latency_s(capacity, 1.0) == curve.mean_s(capacity), "no noise where none is asked for"
    curve.slowdown = 2.0
    assert curve.latency_s(capacity, 1.0) == 2 * curve.mean_s(capacity)


def test_noise_is_that_of_its_seed():
    one, same, other = (Curve(f"smooth 12 5 {seed}") for seed in (1, 1, 2))
    seen = [[curve.latency_s(6, at) for at in range(0, 3000, 10)] for curve in (one, same, other)]
    assert seen[0] == seen[1] != seen[2]
    assert sum(seen[0]) / 300 == pytest.approx(one.mean_s(6), rel=0.02) and max(seen[0]) > 1.1 * one.mean_s(6)


@pytest.mark.parametrize("text", ["", "steep 5", "smooth", "smooth five", "smooth 5 1 2 3"])
def test_a_curve_that_is_none(text):
    with pytest.raises(ValueError, match="SIMULATED_STREAMS"):
        Curve(text)


def test_each_shape_and_trouble_as_often_as_asked():
    found = planned(20)
    assert found == planned(20) and len(found) == 20 * (len(SHAPES) + len(TROUBLES))
    assert len({curve.split()[1] for curve, _, _ in found}) > 15, "capacities that differ"


def one(curve, trouble, holds, knows=40, seconds=600):
    return {"curve": curve, "trouble": trouble, "holds": holds, "knows": knows, "seconds": seconds}


def test_verdicts():
    quiet = [one(shape, "none", 41) for shape in SHAPES for _ in range(19)]
    calm = [one("smooth", trouble, None) for trouble in TROUBLES]
    assert {verdict.verdict for verdict in verdicts([*quiet, *calm])} == {"pass"}
    wrong = {
        verdict.what: verdict.verdict
        for verdict in verdicts(
            [*quiet, one("cliff", "none", 43), one("cliff", "none", None), *calm, one("s", "throttled", 30)]
        )
    }
    assert (
        wrong["cliff: found within 5 % or one, of 21"] == "fail"
        and wrong["smooth: found within 5 % or one, of 19"] == "pass"
    )
    assert wrong["throttled: a wrong number, of 2"] == "fail" and wrong["stalled: a number at all, of 1"] == "pass"
    assert {v.what: v.verdict for v in verdicts([*quiet, one("cliff", "none", 40, seconds=721), *calm])}[
        "longest bench"
    ] == "fail"
