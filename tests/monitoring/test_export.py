"""`dgctl export monitoring`: files that Prometheus takes, and dashboards whose every query it understands."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from dgctl.cli import main
from dgctl.export import dashboards, rules
from tests.monitoring.test_rules import TEXTS, promtool
from tests.paths import PROJECT
from tests.unit.conftest import folder  # noqa: F401 - a deployment to export

TABLE = dashboards.table()
QUERIES = [
    (f"{name}: {panel['title']}", legend, query)
    for name, row in TABLE.items()
    for panel in row["panels"]
    for legend, query in dashboards.queries(panel).items()
]
# What Deepgram's own dashboards ask (monitoring/grafana_dashboard_template.json, and grafana_tts_dashboard_template.json by its
# README), and who answers it here.
OFFICIAL = {
    "Active Requests per Pod": "fleet: Active requests by server",
    "Request Rate by Kind (RPS)": "fleet: Requests a second by kind",
    "Error Rate (4xx + 5xx) %": "fleet: Requests that fail (4xx and 5xx)",
    "Status Code Breakdown": "fleet: Answers by status",
    "Batch Latency P50 / P90 / P99 (s)": "files: Time for a request P50 / P90 / P99",
    "Streaming Latency P50 / P90 / P99 (s)": "streams: Stream latency P50 / P90 / P99",
    "Active Requests by Kind": "fleet: Active requests by kind",
    "Estimated Stream Capacity": "streams: Estimated capacity",
    "Streaming Load Saturation (% of Capacity)": "streams: Used of what an Engine takes",
    "Streaming Connection Latency (Mean, s)": "streams: Time to open a stream, mean",
    "Per-Pod Error Rate (5xx RPS)": "fleet: Requests that fail by server (5xx)",
    "Streaming Load vs Estimated Capacity": "streams: Streams, and what the Engines take",
    "Per-Pod Streaming Latency P99 (s)": "streams: Stream latency P99 by server",
    "TTS Latency P50 / P90 / P99": "tts: First sound P50 / P90 / P99",
    "Per-Instance TTS Latency P99": "tts: First sound P99 by server",
    "TTS Latency Raw vs Transcoded (Mean)": "tts: First sound, before and after transcoding (mean)",
    "TTS Request Rate": "tts: Requests a second",
    "TTS Failures During Response": "tts: Answers that broke off",
}


def test_every_question_of_the_official_dashboards_is_answered():
    assert set(OFFICIAL.values()) <= {title for title, _, _ in QUERIES}


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (package prometheus)")
def test_prometheus_understands_every_query(tmp_path):
    asked = [
        {"record": f"q{number}", "expr": query.replace("$instance", ".*")}
        for number, (_, _, query) in enumerate(QUERIES)
    ]
    (tmp_path / "q.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": asked}]}))
    done = promtool(tmp_path, "check", "rules", "q.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(asked) > 60 and f"{len(asked)} rules found" in done.stdout


def known_metrics():
    """What Engines, the exporter, the rules and Prometheus itself give; of the node exporter what is asked of it."""
    names = set((PROJECT / "tests/monitoring/engine_metrics.txt").read_text().split())
    for path in (PROJECT / "roles/host_metrics/files/exporter").glob("*.py"):
        names |= set(re.findall(r'"(dgctl_\w+)"', path.read_text()))
    gpus = (PROJECT / "roles/host_metrics/files/exporter/gpus.py").read_text()
    names |= {f"dgctl_gpu_{name}" for name in re.findall(r'\(?"(\w+)",\s*"[A-Z]', gpus)}
    dates = ("release_end_of_support", "release_end_of_life", "license_proxy_trust_expiration")
    names |= {f"dgctl_{name}_timestamp_seconds" for name in dates}
    names |= set(re.findall(r"record: (\S+)", "".join(TEXTS.values())))
    return names | {"up", "ALERTS"}


FUNCTIONS = {
    *("sum", "max", "avg", "count", "rate", "increase", "histogram_quantile", "time", "deriv", "max_over_time"),
    "label_replace",
    *("offset", "and", "or", "unless", "by", "on", "bool", "h", "d", "m"),
}


def metrics_in(query):
    bare = re.sub(r'"(?:[^"\\]|\\.)*"|\{[^}]*\}|\b(by|on|ignoring)\s*\([^)]*\)|\[[^]]*\]', " ", query)
    words = re.findall(r"[a-zA-Z_][\w:]*", bare)
    return {word for word in words if word not in FUNCTIONS}


@pytest.mark.parametrize(
    ("where", "query"),
    [(title, query) for title, _, query in QUERIES]
    + [(alert["alert"], alert["expr"]) for alert in rules.alerts(TEXTS)],
)
def test_every_metric_is_one_that_somebody_gives(where, query):
    names = {name for name in metrics_in(query) if not name.startswith("node_")}
    assert names <= known_metrics(), where


def test_a_metric_that_nobody_gives_is_found():
    assert metrics_in('sum by (le) (rate(engine_stream_latncy_bucket{le="0.4"}[5m])) > 0') == {
        "engine_stream_latncy_bucket"
    }
    assert "engine_stream_latncy_bucket" not in known_metrics()


@pytest.mark.parametrize("name", TABLE)
def test_a_dashboard_is_whole(name):
    document = dashboards.documents()[name]
    panels = document["panels"]
    assert document["uid"] == f"dgctl-{name}" and len({panel["id"] for panel in panels}) == len(panels)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels) and all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    for panel in panels:
        assert panel["title"] and panel["targets"] and panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        bounds = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]]
        assert bounds == sorted(bounds)


def export(*words):
    return CliRunner().invoke(main, ["export", "monitoring", *words])


@pytest.fixture
def deployment(folder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    return folder


def test_an_export(deployment):
    done = export("inventory.ini", "out")
    assert done.exit_code == 0, done.output
    out = Path("out")
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names == {
        *("README.md", "scrape.yml"),
        *(f"rules/{name}" for name in TEXTS),
        *(f"dashboards/{name}.json" for name in TABLE),
    }
    jobs = {job["job_name"]: job for job in yaml.safe_load((out / "scrape.yml").read_text())["scrape_configs"]}
    assert jobs["deepgram_engine"]["static_configs"][0]["labels"] == {"instance": "gpu1", "profile": "stt"}
    assert json.loads((out / "dashboards/fleet.json").read_text())["panels"]
    assert "host_metrics_allow" in done.output, "nobody may read the exporters yet"


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (package prometheus)")
def test_prometheus_takes_the_jobs(deployment):
    export("inventory.ini", "out")
    done = subprocess.run(
        ["promtool", "check", "config", "out/scrape.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_export_again_writes_what_changed_and_keeps_the_rest(deployment):
    export("inventory.ini", "out")
    Path("out/mine.txt").write_text("mine")
    Path("out/scrape.yml").write_text(Path("out/scrape.yml").read_text() + "# changed\n")
    done = export("inventory.ini", "out")
    assert done.exit_code == 0 and "1 of them written now" in done.output and Path("out/mine.txt").exists()


def test_an_export_among_other_files_is_refused(deployment):
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    done = export("inventory.ini", "out")
    assert done.exit_code == 2 and "other files are there already" in done.output and not Path("out/rules").exists()
    Path("file").write_text("x")
    assert export("inventory.ini", "file").exit_code == 2
