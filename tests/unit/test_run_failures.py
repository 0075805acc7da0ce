"""What becomes of a host whose run fails, and of its peers: exit codes and states come from events."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgctl.base import ssh
from dgctl.run import events
from dgctl.verbs import preflight, provision
from tests.unit.conftest import write
from tests.unit.local_hosts import INVENTORY, PREFLIGHT, do
from tests.unit.validating import set_variable

pytestmark = pytest.mark.usefixtures("here")


def test_a_failed_preflight_touches_no_host(capsys: pytest.CaptureFixture[str]) -> None:
    set_variable("refused: [a]")
    document = do(capsys, provision.provision, yes=True)
    assert document["exit_code"] == 4
    assert {name: host["state"] for name, host in document["hosts"].items()} == {"a": "failed", "b": "skipped"}
    problem = {"what": "The disk is full", "where": "a", "value": "", "fix": "free 50 GB under /var/lib"}
    assert document["errors"] == [problem]
    assert not Path("b.txt").exists()


def test_a_failed_host_and_its_healthy_peer(capsys: pytest.CaptureFixture[str]) -> None:
    set_variable("broken: [a]")
    document = do(capsys, provision.provision, yes=True)
    assert document["exit_code"] == 6
    assert {name: host["state"] for name, host in document["hosts"].items()} == {"a": "failed", "b": "changed"}
    (error,) = document["errors"]
    assert "Break: " in error["what"] and "the wheel came off" in error["what"]
    assert "ansible.log" in error["fix"]


def test_a_rescued_failure_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    set_variable("rescued: [a]")
    document = do(capsys, provision.provision, yes=True, limit="a")
    assert (document["exit_code"], document["errors"]) == (0, [])
    assert document["hosts"]["a"]["state"] == "changed"


def test_a_rescued_failure_before_a_real_one_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    set_variable("rescued: [a]\nbroken: [a]")
    (error,) = do(capsys, provision.provision, yes=True, limit="a")["errors"]
    assert error["what"].startswith("Break: ")


def test_an_unreachable_host(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    text = INVENTORY.replace("b\n", "b ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1\n", 1)
    write(folder / "inventory.ini", text)
    document = do(capsys, preflight.preflight)
    assert document["exit_code"] == 7
    assert document["hosts"]["b"]["state"] == "unreachable"
    (error,) = document["errors"]
    assert error["what"] == "nothing listens on the SSH port"
    assert "Connection refused" in error["value"]
    assert "ansible_port" in error["fix"]
    assert document["hosts"]["a"]["state"] == "ok"
    states = {name: host["state"] for name, host in do(capsys, provision.provision, yes=True)["hosts"].items()}
    assert states == {"a": "skipped", "b": "unreachable"}
    assert not Path("a.txt").exists()


def test_a_server_whose_sudo_wants_a_password_is_as_good_as_unreachable(
    capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    task = "    - name: Look\n      ansible.builtin.fail:\n        msg: Missing sudo password\n"
    write(root / "playbooks" / "preflight.yml", PREFLIGHT.partition("    - name: Look")[0] + task)
    document = do(capsys, preflight.preflight, limit="a")
    assert (document["exit_code"], document["hosts"]["a"]["state"]) == (7, "unreachable")
    assert "ansible_become_password" in document["errors"][0]["fix"]


def test_a_playbook_that_cannot_run_is_a_bug_with_ansibles_words(
    capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    write(root / "playbooks" / "preflight.yml", "- name: Preflight\n  hosts: node\n  roles: [no_such_role]\n")
    document = do(capsys, preflight.preflight)
    assert document["exit_code"] == 1
    assert "no_such_role" in document["errors"][0]["what"]


@pytest.mark.parametrize(
    "reported",
    [
        "ansible-core requires a minimum of Python version 3.8. Current version: 3.6.8",
        "SyntaxError: future feature annotations is not defined",
    ],
)
def test_a_python_that_is_too_old_is_told_with_what_to_install(reported: str) -> None:
    event = {"event": "runner_on_failed", "event_data": {"host": "a", "task": "Look", "res": {"msg": reported}}}
    problem = events.problem(event, "ansible.log", ssh.Route)
    assert "too old" in problem.what and problem.value == reported and "dnf install python39" in problem.fix
