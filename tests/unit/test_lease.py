"""The lease on the servers: two clones never change one deployment at a time, and nobody waits for a dead run for long."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dgctl.base.errors import DgctlError, Exit
from dgctl.output.report import Outcome
from dgctl.plan.look import Seen
from dgctl.run import lease
from dgctl.verbs import drain, provision
from tests.plan.test_rollout import FLEET, deployment
from tests.unit.called import called
from tests.unit.local_hosts import do, looks
from tests.unit.servers_lease import Servers


def clone(folder: Path, break_lock: bool = False, **groups: list[str]) -> Any:
    """The work of a clone in this folder, made when missing."""
    folder.mkdir(exist_ok=True)
    session = called("provision", folder / "inventory.ini", yes=True, break_lock=break_lock)
    return SimpleNamespace(session=session, deployment=deployment(**(groups or FLEET)))


def refused(work: Any, seen: Any = None) -> Any:
    with pytest.raises(DgctlError) as error, lease.held(work, seen):
        pass
    assert error.value.exit_code == Exit.LOCKED
    (problem,) = error.value.problems
    return problem


def looked(servers: Servers, *names: str) -> dict[str, dict[str, Any]]:
    """What a look finds."""
    return {name: {**servers.retained(name), "time": time.time()} for name in names}


@contextmanager
def left_by_a_kill(work: Any, servers: Servers, *names: str) -> Iterator[None]:
    """As the servers are after a run of this clone was killed."""
    with lease.held(work):
        files = {name: (servers.folder / name / "lease.json").read_text() for name in names}
    for name, text in files.items():
        (servers.folder / name / "lease.json").write_text(text)
    yield


def test_another_clone_waits_and_is_told_for_whom(tmp_path: Path, servers: Servers) -> None:
    with lease.held(clone(tmp_path / "a")):
        problem = refused(clone(tmp_path / "b"))
        with pytest.raises(DgctlError) as early:
            lease.require_free(clone(tmp_path / "b"), looked(servers, "lb"))
        lease.require_free(clone(tmp_path / "a"), looked(servers, "lb"))
    assert early.value.exit_code == Exit.LOCKED and early.value.problems == [problem]
    assert problem.what == "another run works on these servers" and problem.where == "lb"
    assert problem.value.startswith("pid ") and " of root on " in problem.value and "since 20" in problem.value
    assert problem.fix.endswith(f"dgctl provision {tmp_path}/b/inventory.ini --break-lock")
    with lease.held(clone(tmp_path / "b")):
        lease.require_free(clone(tmp_path / "a"), looked(servers, "gpu1"))  # no server that holds it
    lease.require_free(clone(tmp_path / "a"), looked(servers, "lb"))


def test_it_lies_on_every_proxy_whatever_the_limit_or_on_those_that_stand_in_and_those_of_the_run() -> None:
    assert lease.servers(deployment(**FLEET)) == ["lb"]
    of = deployment(node=["b", "a"], license_proxy=["l2", "l1"])
    of.targets = ["b"]
    assert lease.servers(of) == ["b", "l1", "l2"]


def test_a_run_leaves_nothing_that_holds(tmp_path: Path, servers: Servers) -> None:
    for failure in (KeyboardInterrupt, DgctlError([], Exit.HALTED)):
        work = clone(tmp_path / "a")
        with pytest.raises((KeyboardInterrupt, DgctlError)), lease.held(work):
            assert servers.retained("lb")["until"] > time.time() + 170 and work.session.lease
            raise failure
        assert servers.retained("lb")["until"] == 0 and work.session.lease is None
    assert (servers.folder / "lb" / "lease.json").stat().st_mode & 0o777 == 0o600


def test_what_a_killed_run_left_is_its_own_clones_at_once_and_others_after_three_minutes(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with left_by_a_kill(clone(tmp_path / "a"), servers, "lb"):
        refused(clone(tmp_path / "b"))
        with lease.held(clone(tmp_path / "a")):
            pass
    with left_by_a_kill(clone(tmp_path / "a"), servers, "lb"):
        now = time.time()
        for later, free in ((179, False), (181, True)):
            monkeypatch.setattr(servers.program, "time", SimpleNamespace(time=lambda at=now + later: at))
            if free:
                with lease.held(clone(tmp_path / "b")):
                    pass
            else:
                refused(clone(tmp_path / "b"))


def test_a_clock_that_was_set_back_lengthens_no_lease(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with left_by_a_kill(clone(tmp_path / "a"), servers, "lb"):
        back = time.time() - 3600
        monkeypatch.setattr(servers.program, "time", SimpleNamespace(time=lambda: back))
        lease.require_free(clone(tmp_path / "b"), {"lb": {**servers.retained("lb"), "time": back}})
        with lease.held(clone(tmp_path / "b")):
            pass


def test_a_copy_of_the_folder_is_another_clone(tmp_path: Path, servers: Servers) -> None:
    with left_by_a_kill(clone(tmp_path / "a"), servers, "lb"):
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "b/.dgctl/clone").read_text() == (tmp_path / "a/.dgctl/clone").read_text()
        refused(clone(tmp_path / "b"))


def test_a_lock_is_broken_by_option_and_the_broken_run_learns_of_it(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.05)
    dead = clone(tmp_path / "a")
    with lease.held(dead):
        lease.require_free(clone(tmp_path / "b", break_lock=True), looked(servers, "lb"))
        with lease.held(clone(tmp_path / "b", break_lock=True)):
            until = time.monotonic() + 5
            while not dead.session.lease.lost and time.monotonic() < until:
                time.sleep(0.02)
            assert "took this one's lease" in dead.session.lease.lost.what
            mine = servers.retained("lb")["run"]
    assert servers.retained("lb") == servers.retained("lb") | {"run": mine, "until": 0}, (
        "the broken run gave back another's"
    )


def test_it_is_renewed_and_a_wiped_one_is_not_made_again(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.05)
    work = clone(tmp_path / "a", node=["a", "b"])
    with lease.held(work):
        first = servers.retained("a")["until"]
        shutil.rmtree(servers.folder / "b")
        until = time.monotonic() + 5
        while servers.retained("a")["until"] == first and time.monotonic() < until:
            time.sleep(0.02)
        assert servers.retained("a")["until"] > first and work.session.lease.lost is None
    assert servers.retained("b") == {}


def test_a_plan_that_another_run_made_old_is_not_carried_out(tmp_path: Path, servers: Servers) -> None:
    for before in ({"lb": {"time": 1.0}}, None):
        seen = before or looked(servers, "lb")
        with lease.held(clone(tmp_path / "a")):
            pass
        problem = refused(clone(tmp_path / "b"), seen)
        assert "since this one inspected" in problem.what and problem.fix.startswith("run it again: dgctl provision")
        assert refused(clone(tmp_path / "b", break_lock=True), seen) == problem
    with lease.held(clone(tmp_path / "b"), looked(servers, "lb")):
        pass
    with lease.held(clone(tmp_path / "a"), {"lb": {}}):  # its look failed: it knows of nothing
        pass


def test_two_names_of_one_server_are_no_two_runs(tmp_path: Path, servers: Servers) -> None:
    (servers.folder / "b").mkdir(parents=True)
    (servers.folder / "a").symlink_to("b")
    with lease.held(clone(tmp_path / "a", node=["a", "b"]), looked(servers, "a", "b")):
        refused(clone(tmp_path / "b", node=["a", "b"]))
    assert servers.retained("b")["until"] == 0


def test_of_two_at_the_same_moment_one_gets_all(tmp_path: Path, servers: Servers) -> None:
    """On the first server one is refused, before it has anything."""

    def run(name: str) -> bool:
        try:
            with lease.held(clone(tmp_path / name, proxy=["p1", "p2", "p3"], node=["n"])):
                time.sleep(0.3)
                return True
        except DgctlError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(run, "abcdefgh")) == [False] * 7 + [True]


def test_servers_that_do_not_answer_hold_no_run_up(tmp_path: Path, servers: Servers) -> None:
    three = {"proxy": ["p1", "p2", "p3"], "node": ["n"]}
    servers.silent = {"p1"}
    with lease.held(clone(tmp_path / "a", **three)):
        assert refused(clone(tmp_path / "b", **three)).where in ("p2", "p3")
    servers.silent = {"p1", "p2", "p3"}
    with lease.held(clone(tmp_path / "b", **three)):
        pass


def test_one_that_is_refused_gives_back_what_it_got(tmp_path: Path, servers: Servers) -> None:
    with lease.held(clone(tmp_path / "a", proxy=["p2"], node=["n"])):
        refused(clone(tmp_path / "b", proxy=["p1", "p2"], node=["n"]))
        assert servers.retained("p1")["until"] == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"until": "x"}', '{"until": true, "run": 5}', "[" * 9999])
def test_a_file_that_nobody_wrote_holds_nothing(text: str, tmp_path: Path, servers: Servers) -> None:
    (servers.folder / "lb").mkdir(parents=True)
    (servers.folder / "lb" / "lease.json").write_text(text)
    with lease.held(clone(tmp_path / "a")):
        assert servers.retained("lb")["until"] > 0


def test_the_servers_and_this_side_agree_how_long_it_lasts(servers: Servers) -> None:
    assert servers.program.TTL_S == lease.TTL_S


@pytest.mark.usefixtures("here")
def test_a_provision_that_changes_nothing_asks_for_no_lease(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, servers: Servers
) -> None:
    looks(monkeypatch)
    assert do(capsys, provision.provision, yes=True)["exit_code"] == 0
    monkeypatch.setattr("dgctl.rollout.provisioning.done", lambda *of: Outcome())
    assert do(capsys, provision.provision, check=True, full=True)["exit_code"] == 0
    assert servers.asked == []
    assert do(capsys, provision.provision, yes=True, full=True)["exit_code"] == 0
    assert servers.asked == [(name, mode) for mode in ("take", "release") for name in "ab"]


@pytest.mark.usefixtures("here")
def test_provision_refuses_before_it_asks_a_person(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, servers: Servers
) -> None:
    held = {"run": "x", "owner": "y", "until": 1100.0, "time": 1000.0, "holder": {"user": "eve\x1b[2J", "pid": 7}}

    def look(requests: Any, tell: Any) -> None:
        for host, _ in requests:
            tell(host.name, Seen({"deepgram": {"state": "drifted"}}, lease=held if host.name == "b" else {}))

    monkeypatch.setattr("dgctl.plan.plan.look", look)
    monkeypatch.setattr("dgctl.run.playbook.run", lambda job: pytest.fail("Ansible ran"))
    document = do(capsys, provision.provision, yes=True)
    assert document["exit_code"] == 9 and servers.asked == []
    (error,) = document["errors"]
    assert error["where"] == "b" and error["value"].startswith("pid 7 of eve") and "on ?, since ?" in error["value"]


def test_what_is_refused_for_its_words_asks_no_server(
    capsys: pytest.CaptureFixture[str], here: Path, servers: Servers
) -> None:
    assert do(capsys, drain.drain, hosts=("nobody",))["exit_code"] == 2
    assert servers.asked == []
