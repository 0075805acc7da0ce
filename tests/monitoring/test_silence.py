"""What is missing sets off no alert but the one that says so: before the first request, after a restart, of a silent target."""

import re

import pytest
import yaml

from lab.deepgram.programs.inference.metrics import HISTOGRAMS, Metrics
from tests.monitoring.cases import CASES, engine, files, host, latency, requests, speech
from tests.monitoring.test_rules import TEXTS, folder, needs_promtool, promtool  # noqa: F401

MINUTES = 150  # longer than any alert waits, but for days
UP = {
    engine("up"): f"1x{MINUTES}",
    host("up"): f"1x{MINUTES}",
    engine("up", job="node"): f"1x{MINUTES}",
}
# What there may be silence of, and every alert that tells of it.
SILENT = {
    "server": ({host("up"), engine("up"), engine("up", job="node")}, {"ServerSilent"}),
    "Engine": ({engine("up")}, {"EngineSilent"}),
    "node exporter": ({engine("up", job="node")}, {"TargetSilent"}),
}


def firing(folder, series, at=None):  # noqa: F811
    """Every alert that fires at this minute of these series, or at any, by Prometheus' own promtool."""
    span = "1d" if at is None else "30s"
    query = f"count by (alertname) (count_over_time(ALERTS{{alertstate='firing'}}[{span}]))"
    tests = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": query, "eval_time": f"{MINUTES if at is None else at}m", "exp_samples": []}],
    }
    document = {"rule_files": sorted(TEXTS), "evaluation_interval": "1m", "tests": [tests]}
    (folder / "test.yaml").write_text(yaml.safe_dump(document))
    done = promtool(folder, "test", "rules", "test.yaml")
    said = done.stdout + done.stderr
    found = set(re.findall(r'alertname="(\w+)"', said))
    assert bool(found) is bool(done.returncode), said
    return found


def fresh():
    """An Engine that was started and has had no request, as the stand-in's own metrics have it."""
    samples = [line for line in Metrics(40).text().splitlines() if not line.startswith("#")]
    found = {}
    for line in samples:
        name, _, value = line.partition(" ")
        labels = dict(re.findall(r'(\w+)="(\w+)"', name))
        found[engine(name.partition("{")[0], **labels)] = f"{value}x{MINUTES}"
    return found


def shifted(series, minutes):
    """The same, which nobody has heard of for so long."""
    return {name: f"_x{minutes} {values}" for name, values in series.items()}


def restarted(series, at):
    """Counters that begin again at that minute, after a minute of silence."""
    return {name: f"{re.sub(r'x[0-9]+$', f'x{at}', values)} _ {values}" for name, values in series.items()}


GOOD = {
    **latency(0.2, 0.95, 1, 90),
    **files(150, 600, 90),
    **speech(0.95, 0.99, 1, 90),
    **requests(0.0),
}
BAD = {**latency(0.6, 0.2, 0.9, 90), **files(50, 600, 90), **speech(0.5, 0.6, 0.7, 90)}
SLOW = {"StreamLatencyMean", "StreamLatencyTail", "StreamsLate", "FilesSlow"}
SPEECH = {"TTSLatencyHigh", "TTSLatencyVeryHigh", "TTSTailLatencyVeryHigh"}


def test_a_fresh_engine_has_no_histogram():
    """That is what makes the next tests say something."""
    assert fresh() and not any(name.startswith(tuple(HISTOGRAMS)) for name in fresh())


@needs_promtool
def test_before_the_first_request_nothing_is_told(folder):  # noqa: F811
    assert firing(folder, UP | fresh()) == set()


@needs_promtool
def test_the_first_requests_are_judged_as_all_others(folder):  # noqa: F811
    """Their figures appear when they come: good ones set nothing off, bad ones do."""
    assert firing(folder, UP | fresh() | shifted(GOOD, 30)) == set()
    assert firing(folder, UP | fresh() | shifted(BAD, 30)) >= SLOW | SPEECH


@needs_promtool
def test_one_slow_request_after_silence_is_no_alert(folder):  # noqa: F811
    """Its counters are there at once, at what they will stay at."""
    slow = {name: f"_x30 {value}x60" for name, value in (
        (engine("engine_stream_latency_bucket", le="1.5"), 0), (engine("engine_stream_latency_bucket", le="10"), 3),
        (engine("engine_stream_latency_bucket", le="0.4"), 0), (engine("engine_stream_latency_bucket", le="+Inf"), 3),
        (engine("engine_stream_latency_sum"), 9), (engine("engine_stream_latency_count"), 3),
        (engine("engine_requests_total", kind="stream", response_status="5xx"), 1),
    )}  # fmt: skip
    assert firing(folder, UP | fresh() | slow) == set()


@needs_promtool
@pytest.mark.parametrize("at", [20, 40])
def test_counters_that_begin_again(folder, at):  # noqa: F811
    """A restart of the Engine is no change of its figures, and hides none: what fired goes on firing."""
    assert firing(folder, UP | restarted(GOOD, at)) == set()
    assert firing(folder, UP | restarted(BAD, at), at + 3) >= SLOW - {"FilesSlow"} | SPEECH


@needs_promtool
@pytest.mark.parametrize("what", SILENT)
def test_a_target_that_is_silent_sets_off_its_own_alert_alone(folder, what):  # noqa: F811
    """Its figures were good, and end: nothing follows from what is missing."""
    missing, alerts = SILENT[what]
    series = dict(UP)
    for name in missing:
        series[name] = f"1x60 0x{MINUTES - 60}"
    told = {name: re.sub(r"x[0-9]+$", "x59 stale", values) for name, values in GOOD.items()}
    gpus = {host("dgctl_gpus_on_bus"): "2x59 stale", host("dgctl_gpus_answering"): "2x59 stale"}
    serving = {host("dgctl_api_up"): "1x59 stale", host("dgctl_collector_up", collector="gpus"): "1x59 stale"}
    assert firing(folder, series | told | gpus | serving) == alerts


@needs_promtool
def test_what_is_told_here_is_told_by_the_cases_too(folder):  # noqa: F811
    """The question of this file finds an alert: one case's red, asked as here."""
    case = next(one for one in CASES if one.alert == "ServerSilent")
    assert firing(folder, dict(case.red)) == {"ServerSilent"}
