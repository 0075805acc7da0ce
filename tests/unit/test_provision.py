"""`provision`: only what is not right runs, and what ran is verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgctl.run.session import main
from dgctl.verbs import provision
from tests.unit.called import called
from tests.unit.local_hosts import do, looks, marked, ran, verdict

pytestmark = pytest.mark.usefixtures("here")


def test_a_run_that_changes_and_one_that_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    first = do(capsys, provision.provision, yes=True)
    assert (first["exit_code"], first["errors"]) == (0, [])
    assert first["hosts"]["a"] == {"state": "changed", "changed": 1, "errors": []}
    assert {check["verdict"] for check in first["checks"]} == {"pass"}
    second = do(capsys, provision.provision, yes=True)
    assert second["hosts"]["a"] == {"state": "ok", "changed": 0, "errors": []}


def test_only_what_is_not_right_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    looks(monkeypatch, b={"deepgram": "drifted"})
    document = do(capsys, provision.provision, yes=True)
    assert (document["exit_code"], document["errors"]) == (0, [])
    assert {name: host["state"] for name, host in document["hosts"].items()} == {"a": "ok", "b": "changed"}
    assert ran() == {("b", "deepgram")}
    assert {check["host"] for check in document["checks"]} == {"b"}
    assert marked == ["b"]
    assert set(document["timings"]) == {"start", "look", "tasks", "verify", "roles"}


def test_servers_that_are_right_cost_a_look(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch)
    monkeypatch.setattr("dgctl.run.playbook.run", lambda job: pytest.fail("Ansible ran"))
    document = do(capsys, provision.provision, yes=True)
    assert document["exit_code"] == 0
    assert document["hosts"] == {name: {"state": "ok", "changed": 0, "errors": []} for name in "ab"}
    assert "checks" not in document


@pytest.mark.parametrize(
    ("limit", "reported"), [(None, "all 2 servers are in sync in "), ("a", "the server is in sync in ")]
)
def test_servers_that_are_right_are_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, limit: str | None, reported: str
) -> None:
    looks(monkeypatch)
    assert main(called("provision", Path("inventory.ini"), yes=True, limit=limit), provision.provision) == 0
    assert reported in capsys.readouterr().out


def test_full_runs_every_role(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    looks(monkeypatch)
    assert do(capsys, provision.provision, yes=True, full=True)["exit_code"] == 0
    assert ran() == {(host, role) for host in "ab" for role in ("docker", "deepgram")}


def test_right_and_not_verified_is_verified(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, a={})
    verdict(monkeypatch, "fail")
    document = do(capsys, provision.provision, yes=True)
    assert (document["exit_code"], document["hosts"]["a"]["state"], marked) == (8, "failed", [])
    verdict(monkeypatch, "pass")
    assert do(capsys, provision.provision, yes=True)["exit_code"] == 0
    assert marked == ["a"]


def test_check_mode_changes_nothing_and_asks_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    document = do(capsys, provision.provision, check=True, limit="a")
    assert document["exit_code"] == 0
    assert document["hosts"]["a"]["state"] == "changed"
    assert "checks" not in document
    assert not Path("a.txt").exists()


def test_a_failed_verify_after_a_good_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    verdict(monkeypatch, "fail")
    document = do(capsys, provision.provision, yes=True, limit="a")
    assert document["exit_code"] == 8
    assert document["hosts"]["a"]["state"] == "failed"
    assert document["hosts"]["a"]["errors"][0]["fix"] == "look at the Engine"
