"""The rules, by Prometheus' own promtool: each alert once red and once green, and every one with its page."""

import re
import shutil
import subprocess

import pytest
import yaml

from dgctl.export import rules
from tests.monitoring.cases import CASES, MORE
from tests.paths import PROJECT

DEFAULTS = rules.usual(PROJECT)
TEXTS = rules.rendered(PROJECT, DEFAULTS)
ALERTS = {alert["alert"]: alert for alert in rules.alerts(TEXTS)}
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not installed (package prometheus)"
)


def promtool(folder, *words):
    return subprocess.run(["promtool", *words], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path):
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def asked(case, colour):
    """One test of promtool: whether the alert fires at that minute."""
    series = [{"series": name, "values": values} for name, values in getattr(case, colour).items()]
    found = [{"labels": "{}", "value": 1}] if colour == "red" else []
    query = f'count(count by (alertname) (ALERTS{{alertname="{case.alert}",alertstate="firing"}}))'
    return {
        "name": f"{case.alert} is {colour}",
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [{"expr": query, "eval_time": f"{case.at_m}m", "exp_samples": found}],
    }


FILE = {alert: name for name, text in TEXTS.items() for alert in re.findall(r"alert: (\w+)", text)}


def run(folder, cases):
    """With the file of the alerts, and that of the figures which they share."""
    tests = [asked(case, colour) for case in cases for colour in ("red", "green")]
    files = sorted({"figures.yml", *(FILE[case.alert] for case in cases)})
    document = {"rule_files": files, "evaluation_interval": "1m", "tests": tests}
    (folder / "test.yaml").write_text(yaml.safe_dump(document))
    return promtool(folder, "test", "rules", "test.yaml")


@needs_promtool
def test_prometheus_takes_the_rules(folder):
    done = promtool(folder, "check", "rules", *TEXTS)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("name", sorted(set(FILE.values())))
def test_each_alert_is_red_and_green(folder, name):
    done = run(folder, [case for case in (*CASES, *MORE) if FILE[case.alert] == name])
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_a_wrong_bound_is_found(folder):
    path = folder / "engine.yml"
    path.write_text(path.read_text().replace("> 0.05", "> 0.5"))
    done = run(folder, [case for case in CASES if case.alert == "ErrorsHigh"])
    assert done.returncode != 0 and "ErrorsHigh" in done.stdout + done.stderr


def test_every_alert_has_a_case():
    assert {case.alert for case in CASES} == set(ALERTS) and len(CASES) == len(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_why_and_what_to_do(name):
    alert = ALERTS[name]
    assert set(alert["annotations"]) == {"summary", "why", "fix", "command", "runbook"}
    assert alert["annotations"]["runbook"] == f"docs/reference/alerts.md#{name.lower()}"
    assert f"\n## {name}\n" in (PROJECT / "docs/reference/alerts.md").read_text()
    assert alert["labels"]["severity"] in ("info", "warning", "critical")
    assert re.match(r"dgctl [a-z]+ INVENTORY", alert["annotations"]["command"])


def test_commands_are_verbs_with_their_options():
    from dgctl.cli import main

    for name, alert in ALERTS.items():
        _dgctl, verb, *words = alert["annotations"]["command"].replace("{{ $labels.instance }}", "gpu1").split()
        command = main.commands[verb]
        known = {opt for parameter in command.params for opt in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, name


def test_thresholds_are_those_of_the_variables():
    texts = rules.rendered(PROJECT, DEFAULTS | {"monitoring_stream_mean_ms": 250, "monitoring_file_factor": 55})
    assert "mean5m > 0.25" in texts["engine.yml"] and "mean30m < 55" in texts["engine.yml"]
    texts = rules.rendered(PROJECT, DEFAULTS | {"monitoring_speech_ms": 300})
    assert all(bound in texts["tts.yml"] for bound in ("p90 > 0.3 and", "p90 > 0.6 and", "p99 > 0.75 and"))
    assert all(bound in TEXTS["tts.yml"] for bound in ("p90 > 0.2 and", "p90 > 0.4 and", "p99 > 0.5 and")), (
        "Deepgram's own"
    )
    assert "mean5m > 0.4\n" in TEXTS["engine.yml"] and "> 0.7\n" in TEXTS["engine.yml"]


def test_the_role_writes_every_file_of_rules():
    text = (PROJECT / "roles/monitoring/vars/main.yml").read_text()
    config = re.search(r"rule_files: \[(.*)\]", text)[1]
    assert {f"rules/{name}" for name in TEXTS} == set(config.split(", "))
    assert all(f"'rules/{name}.j2'" in text and f'/rules/{name}"' in text for name in TEXTS)
