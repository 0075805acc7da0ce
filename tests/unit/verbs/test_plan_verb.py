"""`plan`: says what would be done and changes nothing; in a file it is carried out as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgctl.run.session import main
from dgctl.verbs import plan, provision
from tests.unit.called import called
from tests.unit.local_hosts import do, looks

pytestmark = pytest.mark.usefixtures("here")


def test_plan_says_it_and_changes_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    looks(monkeypatch, b={"deepgram": "new"})
    monkeypatch.setattr("dgctl.run.playbook.run", lambda job: pytest.fail("Ansible ran"))
    document = do(capsys, plan.plan)
    assert document["exit_code"] == 10
    assert document["hosts"]["a"] == {"state": "ok", "changed": 0, "errors": []}
    (step,) = document["hosts"]["b"]["plan"]["steps"]
    assert (step["role"], step["reasons"]) == ("deepgram", [{"kind": "new"}])
    looks(monkeypatch)
    assert do(capsys, plan.plan)["exit_code"] == 0


def test_plan_with_v_shows_what_files_become(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("b.txt").write_text("release-1")
    looks(monkeypatch, b={"deepgram": "drifted"})
    document = do(capsys, plan.plan, verbosity=1)
    (diff,) = document["diffs"]
    assert (diff["host"], diff["task"]) == ("b", "Write a file")
    assert "-release-1" in diff["text"] and "+release-260812" in diff["text"]
    assert Path("b.txt").read_text() == "release-1"


def test_plan_with_v_prints_what_files_become(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("b.txt").write_text("release-1")
    looks(monkeypatch, b={"deepgram": "drifted"})
    assert main(called("plan", Path("inventory.ini"), verbosity=1), plan.plan) == 10
    reported = capsys.readouterr().out
    assert "-release-1" in reported and "+release-260812" in reported


def test_a_plan_in_a_file_is_carried_out_once_and_no_more_than_it_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, b={"deepgram": "new"})
    out = Path("plan.json")
    do(capsys, plan.plan, out=out)
    assert out.stat().st_mode & 0o777 == 0o600
    looks(monkeypatch, b={"deepgram": "new"}, a={"docker": "drifted"})
    refused = do(capsys, provision.provision, yes=True, plan=out)
    assert refused["exit_code"] == 10
    assert refused["errors"][0]["where"] == "a" and "docker" in refused["errors"][0]["what"]
    assert not Path("b.txt").exists()
    looks(monkeypatch, b={"deepgram": "new"})
    assert do(capsys, provision.provision, yes=True, plan=out)["exit_code"] == 0
    assert Path("b.txt").exists()
    looks(monkeypatch)
    assert do(capsys, provision.provision, yes=True, plan=out)["exit_code"] == 0


@pytest.mark.parametrize("name", ["inventory.ini", "group_vars/all/main.yml", "empty.json", "list.json", "folder"])
def test_out_overwrites_nothing_but_a_plan(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    Path("empty.json").write_text("")
    Path("list.json").write_text("[1]")
    Path("folder").mkdir()
    monkeypatch.setattr("dgctl.rollout.provisioning.planned", lambda work: pytest.fail("servers were asked before"))
    before = Path(name).read_bytes() if Path(name).is_file() else None
    document = do(capsys, plan.plan, out=Path(name))
    assert document["exit_code"] == 2
    assert (document["errors"][0]["what"], document["errors"][0]["where"]) == (
        "--out names a file that is no plan",
        name,
    )
    assert before is None or Path(name).read_bytes() == before


def test_out_replaces_an_older_plan(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    looks(monkeypatch, b={"deepgram": "new"})
    out = Path("plan.json")
    assert do(capsys, plan.plan, out=out)["exit_code"] == 10
    looks(monkeypatch)
    assert do(capsys, plan.plan, out=out)["exit_code"] == 0
    assert '"deepgram"' not in out.read_text()
