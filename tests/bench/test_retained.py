"""Kept results: read again whatever lies there, and judged by other bounds."""

import json

import pytest

from dgctl.bench import retained
from dgctl.bench.window import Bounds, Window, fault, sla

DOCUMENT = {
    "host": "gpu1",
    "kind": "streams",
    "moment": "20261130T080000Z",
    "holds": 40,
    "fails": 41,
    "cause": "414 ms in the mean",
    "about": {"profile": "stt", "gpus": "Tesla T4", "release": "release-260812", "model": "nova-3-general"},
    "bounds": {"mean_s": 0.4, "p95_s": 1.0, "factor": 100.0},
    "windows": [Window(load, 30.0, load * 30, load / 100, p95_s=load / 50).as_dict() for load in (10, 20, 40, 41)],
}


def keep(folder, name="20261130T080000Z-gpu1-streams", **changes):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(DOCUMENT | changes))


def test_results_are_read_the_newest_first(tmp_path):
    keep(tmp_path)
    keep(tmp_path, "20261201T080000Z-gpu1-streams", moment="20261201T080000Z", holds=44, fails=None)
    found, bad = retained.read(tmp_path)
    assert [one.holds for one in found] == [44, 40] and bad == []
    assert retained.newest(found, "gpu1", "streams").fails is None and retained.newest(found, "gpu1", "files") is None
    assert found[1].subject == ("stt", "Tesla T4", "release-260812", "nova-3-general")
    assert [one.load for one in found[1].windows] == [10, 20, 40, 41] and found[0].file_s is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "torn{",
        "[]",
        "null",
        '"text"',
        "[" * 100_000,
        json.dumps(DOCUMENT | {"holds": None}),
        json.dumps(DOCUMENT | {"holds": -1}),
        json.dumps(DOCUMENT | {"windows": [{"load": 1}]}),
        json.dumps(DOCUMENT | {"windows": [Window(1, 30.0).as_dict() | {"mean_s": float("nan")}]}),
        json.dumps(DOCUMENT | {"windows": [Window(1, 30.0).as_dict() | {"mean_s": "0.1"}]}),
        json.dumps({key: value for key, value in DOCUMENT.items() if key != "bounds"}),
    ],
)
def test_what_is_no_result_is_named_and_gives_no_number(tmp_path, text):
    keep(tmp_path)
    (tmp_path / "bad.json").write_text(text)
    found, bad = retained.read(tmp_path)
    assert [one.holds for one in found] == [40] and bad == ["bad.json"]


def test_a_load_is_good_by_most_of_its_windows():
    windows = tuple(
        Window(load, 30.0, 9, mean) for load, mean in ((8, 0.1), (16, 0.5), (16, 0.3), (16, 0.3), (32, 0.9))
    )
    assert retained.within(windows, lambda one: one.mean_s <= 0.4) == (16, 32)
    assert retained.within(windows[:3], lambda one: one.mean_s <= 0.4) == (8, 16), "one of two is not most"
    assert retained.within(windows, lambda one: one.mean_s <= 1) == (32, None)
    assert retained.within(windows, lambda one: False) == (0, 8) and retained.within((), bool) == (0, None)


def test_a_good_load_above_a_bad_one_does_not_count():
    windows = tuple(Window(load, 30.0, 9, mean) for load, mean in ((8, 0.1), (16, 0.5), (32, 0.3)))
    assert retained.within(windows, lambda one: one.mean_s <= 0.4) == (8, 16)


def test_what_is_promised_is_the_bound():
    assert sla(None, None) == Bounds() == sla(400, 100)
    assert fault(Window(10, 30.0, 100, 0.35, p95_s=0.5), sla(300, 100)) == "350 ms in the mean"
    assert fault(Window(10, 30.0, 100, 0.9, p95_s=2.0), sla("1000", 100)) == "", "a P95 of 1 s beside a mean of 1 s"
    assert fault(Window(10, 30.0, 100, 9.0, factor=33.0), sla(400, "30")) == ""
