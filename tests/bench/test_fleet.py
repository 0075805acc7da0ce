"""What the benchmark of the fleet makes of its measurements."""

import io
import wave

import pytest

from bench import cli
from bench.parts import fleet, fleet_growth, fleet_latency
from bench.parts.fleet_operations import OPERATIONS, Operation, knows


@pytest.mark.parametrize(
    ("failed", "broken", "excused", "verdicts"),
    [
        (0, 0, 0, ["pass", "pass"]),
        (1, 0, 0, ["fail", "pass"]),
        (0, 1, 0, ["pass", "fail"]),
        (0, 10, 10, ["pass", "pass"]),
        (0, 11, 10, ["pass", "fail"]),
    ],
)
def test_only_streams_on_a_killed_node_may_break(failed, broken, excused, verdicts):
    one = {
        "files": {"sent": 100, "failed": failed},
        "streams": {"started": 50, "broken": broken},
        "excused_streams": excused,
        "seconds": 1.0,
    }
    files, streams, seconds = fleet.judged(Operation("node killed", "", lambda fleet: 0), one)
    assert [files.verdict, streams.verdict] == verdicts and seconds.verdict == "-"


def test_adding_to_many_is_compared_with_adding_to_few():
    growth = {1: {"wall_s": 50.0, "tasks": 50}, 10: {"wall_s": 55.0, "tasks": 70}}
    assert [one.verdict for one in fleet_growth.verdicts(growth, 1.2)] == ["pass", "fail"]


def test_a_part_is_named_alone_or_with_its_like():
    def only(text):
        return cli.parser().parse_args(["--only", text]).only

    assert only("fleet_growth") == ["fleet_growth"] and only("fleet_growth,right") == ["fleet_growth", "right"]
    assert only("fleet") == ["fleet_latency", "fleet_operations", "fleet_growth"]
    with pytest.raises(SystemExit):
        only("fle")


def test_a_small_request_is_a_sound_file():
    with wave.open(io.BytesIO(fleet_latency.small(0.25))) as sound:
        assert sound.getnframes() == 4000
    compile(fleet_latency.PROBE, "probe", "exec")


def test_a_verb_that_dgctl_lacks_is_known_to_be_missing():
    assert knows("provision") and not knows("levitate")
    assert {operation.verb for operation in OPERATIONS} >= {"upgrade", "rollback", "remove", "drain", ""}
