"""The load generator against the stand-in API: nothing lost while it serves, everything that is lost is seen."""

import json
import subprocess
import sys
import time

import pytest

from bench.load.beside import Beside, lost
from bench.load.tally import Tally, percentile
from dgctl.bench import recording
from tests.standins.bench import Bench

SOUND = recording.load()


def test_rounds_are_whole_pieces():
    assert len(SOUND.round) % recording.UNIT == 0 and SOUND.round_s == 6.75
    assert [SOUND.rounds(seconds) for seconds in (1, 7, 30)] == [1, 1, 4]


@pytest.mark.parametrize(
    ("heard", "cut", "right"),
    [
        (SOUND.words * 2, False, True),
        (SOUND.words, False, False),
        (SOUND.words, True, True),
        (SOUND.words[:5], True, True),
        (["life", "goes"], True, False),
        ([*SOUND.words, *SOUND.words, "you"], False, False),
        ([*SOUND.words, *SOUND.words, "you"], True, False),
        ([*SOUND.words[:3], "people", *SOUND.words[3:], *SOUND.words], False, False),
    ],
)
def test_words_are_compared(heard, cut, right):
    assert (SOUND.missing(heard, 2, cut) == "") is right


def test_where_words_differ_is_said():
    assert (
        SOUND.missing(["life", "moves", "slowly"], 1)
        == f"3 words for {len(SOUND.words)}; other from word 3 on: 'slowly'"
    )


def test_percentiles():
    assert percentile([], 0.5) is None
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0 and percentile([1.0], 0.99) == 1.0


def test_the_document_counts_what_failed():
    tally = Tally()
    tally.failed("stream", "connect", "HTTP 503: busy", tally.started)
    tally.failed("stream", "words", "2 words for 20", tally.started)
    tally.failed("file", "request", "ConnectError", tally.started)
    document = json.loads(json.dumps(tally.document()))
    assert document["streams"]["broken"] == 2 and document["streams"]["refused"] == 1
    assert document["files"]["failed"] == 1 and document["files"]["p50_ms"] is None
    assert "2 streams broken" in lost(document) and "1 x stream (connect): HTTP 503: busy" in lost(document)
    assert lost(Tally().document()) == ""


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path / "standins")
    made.license_server.wait_for("SIMULATED")
    yield made
    made.stop()


@pytest.fixture
def api(bench):
    engine = bench.engine()
    engine.wait_for("Listening on http")
    return bench.api(engine)


def options(api, *more):
    port = str(api.ports["http"])
    return ["127.0.0.1", "--plain", "--port", port, "--model", "nova-3", "--stream-seconds", "6.75", *more]


def test_nothing_is_lost_while_the_api_serves(api):
    done = subprocess.run(
        [sys.executable, "-m", "bench.load", *options(api, "--streams", "3", "--files", "5", "--seconds", "12")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    document = json.loads(done.stdout)
    assert (done.returncode, lost(document)) == (0, ""), done.stderr
    assert document["files"]["ok"] == document["files"]["sent"] >= 50
    # Two whole ones in each slot, or one and one that the end has cut.
    assert document["streams"]["finished"] == document["streams"]["started"] >= 5
    assert document["streams"]["most_live"] == 3


def test_a_killed_api_is_seen(api, tmp_path):
    running = Beside(tmp_path, *options(api, "--streams", "2", "--files", "5"))
    try:
        running.steady()
        assert lost(running.seen()) == ""
        api.kill()
        document = until(running, lambda seen: seen["files"]["failed"] and seen["streams"]["broken"] >= 2)
    finally:
        running.end()
    stages = {(one["kind"], one["stage"]) for one in document["failures"]}
    assert {("file", "request"), ("stream", "listen")} <= stages
    assert all(one["cause"] and one["time"].endswith("Z") for one in document["failures"])


def until(running, holds):
    for _ in range(100):
        if holds(seen := running.seen()):
            return seen
        time.sleep(0.2)
    raise AssertionError(f"not seen: {seen}")
