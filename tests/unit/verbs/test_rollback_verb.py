"""`rollback`: who goes back, in which order, what the inventory says afterwards, and how a run that was cut off goes on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.rollout import driver_upgrade
from dgctl.run import history, snapshots
from dgctl.run.collector import HostResult, RunResult
from dgctl.verbs import rollback
from tests.plan.conftest import small  # noqa: F401 - a fixture
from tests.unit.conftest import folder, root  # noqa: F401 - fixtures
from tests.unit.verbs.test_fleet_verbs import INVENTORY, retained
from tests.unit.verbs.test_removing import BOTH, FILE, fleet, released  # noqa: F401 - a fixture

NOW, BEFORE = "release-260714", "release-260226"


@pytest.fixture
def back(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    """back(gpu1=what it kept, ..., **options): runs the verb."""

    def run(fails: dict[str, list[str]] | None = None, yes: bool = True, missing: str = "", **reported: Any) -> Any:
        monkeypatch.setattr(snapshots, "ask", lambda work: reported)
        return fleet(rollback.rollback, BOTH, fails=fails, yes=yes, missing=missing)

    return run


KEPT = {name: retained(NOW, BEFORE) for name in ("gpu1", "gpu2")}


def test_each_server_goes_back_drained_and_verified(back: Any) -> None:
    world, outcome = back(**KEPT)
    words = [word for word in world.done if word.split()[0] in ("drain", "rollback:", "verify:", "undrain:")]
    assert words == [
        f"{word}: {name}" for name in ("gpu1", "gpu2") for word in ("drain rollout", "rollback", "verify", "undrain")
    ]
    assert not any(word.startswith(("preflight", "fetch", "change")) for word in world.done)
    assert outcome.exit_code == Exit.OK and outcome.summary.endswith(f"deepgram_release is {BEFORE} in fleet.ini")
    assert released() == [BEFORE, BEFORE] and not history.rollback(FILE).exists()
    assert outcome.next_command == "dgctl plan fleet.ini"


def test_who_runs_the_other_release_already_stays(back: Any) -> None:
    world, outcome = back(gpu1=retained(BEFORE, BEFORE), gpu2=retained(NOW, BEFORE))
    assert "rollback: gpu2" in world.done and "rollback: gpu1" not in world.done and outcome.exit_code == Exit.OK


def test_one_that_fails_ends_it_and_the_next_run_goes_on_with_the_others(back: Any) -> None:
    world, outcome = back(fails={"rollback": ["gpu2"]}, **KEPT)
    assert outcome.exit_code == Exit.HALTED and "rollback: gpu2" in world.done
    started = rollback.Begun(history.rollback(FILE))
    assert (started.release, started.done) == (BEFORE, ["gpu1"])
    world, outcome = back(gpu1=retained(BEFORE, "release-251029"), gpu2=retained(NOW, BEFORE))
    assert outcome.exit_code == Exit.OK and [word for word in world.done if word.startswith("rollback")] == [
        "rollback: gpu2"
    ]
    assert not history.rollback(FILE).exists()


def test_one_that_was_not_verified_is_not_done(back: Any) -> None:
    _, outcome = back(fails={"verify": ["gpu1"]}, **KEPT)
    assert outcome.exit_code == Exit.HALTED and rollback.Begun(history.rollback(FILE)).done == []


@pytest.mark.parametrize(
    ("reported", "options", "code"),
    [
        ({}, {}, Exit.HALTED),
        ({"gpu1": retained(NOW, BEFORE), "gpu2": retained(NOW, "release-251029")}, {}, Exit.HALTED),
        (KEPT, {"yes": False}, Exit.USAGE),
        (KEPT, {"missing": "gpu1"}, Exit.UNREACHABLE),
    ],
)
def test_what_is_refused_touches_neither_servers_nor_files(back: Any, reported: Any, options: Any, code: Exit) -> None:
    world, refused = back(**options, **reported)
    assert refused.exit_code == code and world.done == [] and FILE.read_text() == INVENTORY
    assert not history.rollback(FILE).exists()


ASKS = [
    (lambda work: snapshots.ask(work), {"would_restore": "current"}),
    (lambda work: driver_upgrade.ask(work, ["a", "b"]), {"driver_offers": ["580.95.05"]}),
]


@pytest.mark.parametrize(("ask", "answer"), ASKS)
@pytest.mark.parametrize(
    ("states", "code"),
    [
        ({"a": "ok", "b": "ok"}, None),
        ({"a": "ok", "b": "unreachable"}, Exit.UNREACHABLE),
        ({"a": "failed", "b": "unreachable"}, "failed"),
    ],
)
def test_what_every_server_must_answer(
    ask: Any, answer: Any, states: dict[str, str], code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(job: Any) -> RunResult:
        for name in states:
            data = {"host": name, "res": answer}
            job.on_event({"event": "runner_on_ok", "event_data": data})
            job.on_event({"event": "runner_on_ok", "event_data": {"host": "other", "res": {"changed": False}}})
            job.on_event({"event": "runner_on_failed", "event_data": {**data, "host": "failed"}})
            job.on_event({"event": "playbook_on_stats"})
        bad = {name: [Problem("it does not", name)] for name, state in states.items() if state != "ok"}
        return RunResult({name: HostResult(state, 0, bad.get(name, [])) for name, state in states.items()})

    class Shown:
        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: Any) -> None:
            pass

    monkeypatch.setattr("dgctl.run.playbook.run", run)
    work: Any = SimpleNamespace(
        deployment=None, vault=None, session=SimpleNamespace(record=None), progress=lambda phases, hosts=None: Shown()
    )
    if code is None:
        assert ask(work) == {"a": answer, "b": answer}
        return
    with pytest.raises(DgctlError) as error:
        ask(work)
    assert [problem.where for problem in error.value.problems] == [
        name for name, state in states.items() if state != "ok"
    ]
    of_drivers = "driver_offers" in answer
    assert error.value.exit_code == (code if code != "failed" else Exit.PREFLIGHT if of_drivers else Exit.UNREACHABLE)
