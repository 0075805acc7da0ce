"""The documents' pictures are of what the dashboards ask now, and a real Prometheus finds what was put into the samples."""

import shutil
import xml.etree.ElementTree as ET

import pytest

from bench.pictures import fleet, prometheus
from bench.pictures.__main__ import FOLDER, PICTURES, panel, query
from tests.paths import PROJECT

SVG = "{http://www.w3.org/2000/svg}"
needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")), reason="prometheus is not installed"
)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_of_its_panel(name):
    drawing = ET.parse(FOLDER / f"{name}.svg").getroot()
    assert drawing.findtext(f"{SVG}desc") == query(name), "draw it again: python -m bench.pictures"
    assert drawing.findtext(f"{SVG}title") == panel(name)["title"]
    texts = [one.text for one in drawing.iter(f"{SVG}text")]
    assert any(text.startswith("simulated") for text in texts)
    assert len(list(drawing.iter(f"{SVG}line"))) == len(panel(name).get("bounds", []))
    assert f"](pictures/{name}.svg)" in (PROJECT / "docs/monitoring.md").read_text()


def test_no_picture_is_of_nothing():
    assert {path.stem for path in FOLDER.iterdir()} == set(PICTURES)


def test_the_fleet_is_that_of_its_words():
    name, first, last = fleet.OUT
    assert name not in fleet.shares(first) and name in fleet.shares(last) and name in fleet.shares(first - 0.1)
    assert max(max(fleet.shares(hour / 10).values()) for hour in range(80)) <= fleet.LIMIT
    assert fleet.mean_s(fleet.CAPACITY) <= 0.4 < fleet.mean_s(fleet.CAPACITY + 1)


@needs_prometheus
def test_prometheus_finds_what_was_simulated(tmp_path, monkeypatch):
    """An hour of it: latencies, times real time, and the share without the largest server."""
    monkeypatch.setattr(fleet, "HOURS", 1)
    monkeypatch.setattr(fleet, "END", fleet.START + 3600)
    with prometheus.loaded(tmp_path, fleet.openmetrics()) as asked:
        found = {
            name: {who: dict(points) for who, points in prometheus.asked(asked, query(name)).items()}
            for name in PICTURES
        }
    at = fleet.START + 2700
    streams = fleet.shares(2550 / 3600)  # in the middle of five minutes
    assert found["stream-latency"]["gpu1"][at] == pytest.approx(fleet.mean_s(streams["gpu1"]), rel=0.05)
    total = sum(fleet.shares(2700 / 3600).values())
    assert found["without-the-largest"]["stt"][at] == pytest.approx(total / (2 * fleet.LIMIT), rel=0.05)
    walls = [fleet.file_s(fleet.shares((900 + second) / 3600)["gpu2"]) for second in range(0, 1800, fleet.STEP_S)]
    assert found["files"]["gpu2"][at] == pytest.approx(fleet.FILE_S * len(walls) / sum(walls), rel=0.03)
    assert set(found["files"]) == set(fleet.SERVERS)
