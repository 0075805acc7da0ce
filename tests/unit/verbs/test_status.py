"""`status`: what counts as unhealthy, which servers the proxies send requests to, and the table."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dgctl.base.errors import Exit
from dgctl.output import overview
from dgctl.output.report import Outcome
from dgctl.run.collector import HostResult, RunResult
from dgctl.verbs import status
from tests.plan.test_rollout import FLEET, deployment, seen
from tests.unit.called import called

HEALTHY: dict[str, Any] = {
    "release": "release-260812",
    "api": {"system_health": "Healthy"},
    "containers": {
        "deepgram-engine": {"health": "healthy", "status": "running"},
        "deepgram-api": {"status": "running"},
    },
    "gpus": [
        {"name": "Tesla T4", "utilization_percent": 7},
        {"name": "Tesla T4", "utilization_percent": 40},
        {"name": "NVIDIA A2", "utilization_percent": None},
    ],
    "driver": {"loaded": "580.173.02"},
    "models": [{}, {}],
    "load": {"active_requests": {"batch": 1, "stream": 2, "note": "x"}, "max_active_requests": 20},
    "certificates": {"proxy": {"days_left": 40}},
    "license_proxy": None,
    "problems": [],
}


def cells(state: str = "ok", **changes: Any) -> dict[str, str]:
    return dict(zip(overview.HEADINGS, overview.row("gpu1", state, HEALTHY | changes), strict=True))


def test_a_line_of_the_table() -> None:
    assert cells() == {
        "HOST": "gpu1",
        "STATE": "ok",
        "REQUESTS": "-",
        "RELEASE": "release-260812",
        "API": "Healthy",
        "ENGINE": "healthy",
        "GPU": "2 x Tesla T4 + NVIDIA A2, 40 %",
        "DRIVER": "580.173.02",
        "MODELS": "2",
        "LOAD": "3/20, 15 %",
        "TLS": "40 days",
        "LICENCE": "-",
    }


@pytest.mark.parametrize(
    ("changes", "heading", "text"),
    [
        ({"api": None}, "API", "running"),
        ({"api": {}}, "API", "running"),
        ({"api": None, "containers": {}}, "API", "-"),
        ({"containers": {"deepgram-engine": {"status": "exited"}}}, "ENGINE", "exited"),
        ({"containers": {"deepgram-engine": None}}, "ENGINE", "-"),
        ({"gpus": []}, "GPU", "-"),
        ({"gpus": [{"name": "Tesla T4"}]}, "GPU", "Tesla T4"),
        ({"models": []}, "MODELS", "-"),
        ({"load": {}}, "LOAD", "-"),
        ({"load": {"active_requests": {}, "max_active_requests": 20}}, "LOAD", "0/20, 0 %"),
        ({"holds": {"streams": 40}}, "LOAD", "3/20, 15 %"),
        (
            {"load": {"active_requests": 4, "max_active_requests": 0}, "holds": {"streams": 40}},
            "LOAD",
            "4/40 by its bench, 10 %",
        ),
        ({"load": {"active_requests": 4}, "holds": {"streams": 0}}, "LOAD", "4"),
        ({"load": {"active_requests": 4, "max_active_requests": 0}}, "LOAD", "4"),
        ({"certificates": {"proxy": {"days_left": 0}}}, "TLS", "0 days"),
        ({"certificates": None}, "TLS", "-"),
        ({"license_proxy": {"state": "TrustBased"}}, "LICENCE", "TrustBased"),
        ({"traffic": {"proxies": {"lb1": "up", "lb2": "up"}}}, "REQUESTS", "up"),
        ({"traffic": {"proxies": {"lb1": "up", "lb2": "down"}}}, "REQUESTS", "up at lb1, down at lb2"),
        ({"traffic": {"proxies": {"lb1": "drained"}, "reason": "operator"}}, "REQUESTS", "drained: operator"),
        ({"traffic": {"proxies": {"lb1": "drained"}, "reason": "operator", "note": "fan"}}, "REQUESTS", "drained: fan"),
        ({"traffic": {"proxies": {"lb1": "down"}}, "watch": {"out": True}}, "REQUESTS", "out by itself"),
        ({"traffic": {"proxies": {"lb1": "up"}}, "watch": {"out": False}}, "REQUESTS", "up"),
        (
            {"traffic": {"proxies": {"lb1": "drained"}, "reason": "operator"}, "watch": {"out": True}},
            "REQUESTS",
            "drained: operator",
        ),
    ],
)
def test_what_is_missing_or_otherwise(changes: dict[str, Any], heading: str, text: str) -> None:
    assert cells(**changes)[heading] == text


def test_columns_that_nobody_has_are_left_out() -> None:
    headings, rows = overview.table({"gpu1": ("ok", HEALTHY), "gpu2": ("failed", {})})
    assert "REQUESTS" not in headings and "LICENCE" not in headings
    assert rows[1] == ("gpu2", "failed", *["-"] * 8)
    licensed = HEALTHY | {"license_proxy": {"state": "Connected"}}
    headings, rows = overview.table({"gpu1": ("ok", HEALTHY), "gpu2": ("ok", licensed)})
    assert headings[-1] == "LICENCE" and (rows[0][-1], rows[1][-1]) == ("-", "Connected")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """asked(members, **answers): the outcome where each server answers so; {} is not asked, None not reached."""

    def run(members: Any = None, of: Any = None, **answers: Any) -> Outcome:
        hosts = {
            name: HostResult("unreachable" if reported is None else "ok", 0, [], data=dict(reported or {}))
            for name, reported in answers.items()
        }
        monkeypatch.setattr("dgctl.run.outcomes.ran", lambda work, name, alone, part: RunResult(hosts))
        monkeypatch.setattr("dgctl.rollout.provisioning.seen_by_proxies", lambda work: members or {})
        session = called("status", Path("inventory.ini"))
        work: Any = SimpleNamespace(session=session, deployment=of or deployment(**FLEET), log="", lowered=list)
        return status.once(work)

    return run


def test_a_server_with_problems_is_failed_and_the_exit_code_8(asked: Any) -> None:
    outcome = asked(gpu1=HEALTHY, gpu2=HEALTHY | {"problems": ["/v1/status: Connection refused"]})
    assert outcome.exit_code == Exit.VERIFY and outcome.summary == "1 of 2 servers healthy"
    assert {name: host.state for name, host in outcome.hosts.items()} == {"gpu1": "ok", "gpu2": "failed"}
    (problem,) = outcome.errors
    assert (problem.what, problem.where) == ("/v1/status: Connection refused", "gpu2")
    assert problem.fix == "dgctl verify inventory.ini says what to do"


def test_all_well(asked: Any) -> None:
    outcome = asked(gpu1=HEALTHY, gpu2=HEALTHY)
    assert outcome.exit_code == Exit.OK and outcome.errors == [] and outcome.summary == "2 of 2 servers healthy"
    assert outcome.next_command == "dgctl verify inventory.ini"


def test_one_that_does_not_answer_is_exit_7(asked: Any) -> None:
    assert asked(gpu1=HEALTHY, gpu2=None).exit_code == Exit.UNREACHABLE


def test_what_the_proxies_send_nothing_is_drained(asked: Any) -> None:
    unhealthy = HEALTHY | {"problems": ["x"]}
    outcome = asked(
        seen("gpu1", "elsewhere", gpu2="operator", gpu3="failed"), gpu1=HEALTHY, gpu2=HEALTHY, gpu3=unhealthy
    )
    assert {name: host.state for name, host in outcome.hosts.items()} == {
        "gpu1": "ok",
        "gpu2": "drained",
        "gpu3": "drained",
    }
    assert outcome.exit_code == Exit.VERIFY and [problem.where for problem in outcome.errors] == ["gpu3"]
    assert outcome.hosts["gpu1"].status["traffic"] == {"proxies": {"lb": "up"}}
    assert outcome.hosts["gpu2"].status["traffic"] == {"proxies": {"lb": "drained"}, "reason": "operator"}


def test_where_there_is_no_proxy_nobody_is_asked_how_they_see_it(asked: Any) -> None:
    outcome = asked(seen(gpu1="operator"), of=deployment(node=["gpu1"]), gpu1=HEALTHY)
    assert outcome.hosts["gpu1"].state == "ok" and "traffic" not in outcome.hosts["gpu1"].status


@pytest.mark.parametrize("ends", [KeyboardInterrupt, Exit.INTERRUPTED])
def test_watched_it_shows_each_and_keeps_the_last(
    ends: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = iter([Exit.OK, Exit.VERIFY, ends])
    slept: list[float] = []

    def once(work: Any) -> Outcome:
        code = next(rounds)
        if code is KeyboardInterrupt:
            raise KeyboardInterrupt
        return Outcome(code, hosts={})

    monkeypatch.setattr(status, "once", once)
    monkeypatch.setattr(status.time, "sleep", slept.append)
    session = called("status", Path("inventory.ini"), watch=5.0, as_json=True)
    outcome = status.watched(SimpleNamespace(session=session))  # type: ignore[arg-type]
    assert outcome.exit_code == Exit.VERIFY and outcome.reported
    assert [json.loads(line)["exit_code"] for line in capsys.readouterr().out.splitlines()] == [0, 8]
    assert len(slept) == 2 and all(4 < seconds <= 5 for seconds in slept)


def test_a_look_that_took_longer_than_it_may_is_followed_by_the_next_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, slept = iter([Exit.OK, Exit.INTERRUPTED]), []
    moments = itertools.count(0, 9)
    clock = SimpleNamespace(monotonic=lambda: next(moments), sleep=slept.append)
    monkeypatch.setattr(status, "once", lambda work: Outcome(next(rounds), hosts={}))
    monkeypatch.setattr(status, "time", clock)
    session = called("status", Path("inventory.ini"), watch=5.0, as_json=True)
    status.watched(SimpleNamespace(session=session))  # type: ignore[arg-type]
    assert slept == [0.0]
