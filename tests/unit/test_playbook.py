"""Runs of small playbooks on local connections: exit codes and states come from events."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dgctl import playbook, processes, verbs
from dgctl.look import Seen
from dgctl.playbook import Run
from dgctl.report import Check
from dgctl.session import Session, main
from tests.unit.conftest import CHECKOUT, write

INVENTORY = """\
[node]
a
b

[all:vars]
ansible_connection=local
ansible_python_interpreter={{ ansible_playbook_python }}
deepgram_release=release-260812
"""
PREFLIGHT = """\
- name: Preflight
  hosts: node
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: Look
      ansible.builtin.ping:
    - name: Refuse
      ansible.builtin.fail:
        msg: "The disk is full. Fix: free 50 GB under /var/lib"
      when: inventory_hostname in (refused | default([]))
"""
PROVISION = """\
- name: Import the preflight
  ansible.builtin.import_playbook: preflight.yml
- name: Container engine
  hosts: "{{ hosts_of_play['Container engine'] | default('node') }}"
  gather_facts: false
  tasks:
    - name: Engine
      ansible.builtin.include_role:
        name: "{{ deepgram_container_engine | default('docker') }}"
- name: Deepgram
  hosts: "{{ hosts_of_play['Deepgram'] | default('node') }}"
  gather_facts: false
  roles: [deepgram]
"""
DOCKER = """\
- name: Handled
  block:
    - name: Fails at first
      ansible.builtin.command: "false"
      when: inventory_hostname in (rescued | default([]))
  rescue:
    - name: Helps
      ansible.builtin.debug:
        msg: helped
- name: Break
  ansible.builtin.command: sh -c 'echo the wheel came off >&2; exit 3'
  when: inventory_hostname in (broken | default([]))
- name: Wait
  ansible.builtin.command: sleep {{ deepgram_pause_s | default(0) }}
  changed_when: false
"""
DEEPGRAM = """\
- name: Write a file
  ansible.builtin.copy:
    content: "{{ deepgram_release }}"
    dest: "{{ inventory_dir }}/{{ inventory_hostname }}.txt"
    mode: "0644"
- name: Tell a secret
  ansible.builtin.debug:
    msg: "the key is {{ deepgram_api_key }}"
"""


@pytest.fixture(autouse=True)
def here(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two local hosts, playbooks that do what their variables say, and a verify that holds."""
    write(folder / "inventory.ini", INVENTORY)
    write(root / "playbooks" / "preflight.yml", PREFLIGHT)
    write(root / "playbooks" / "provision.yml", PROVISION)
    write(root / "roles" / "docker" / "tasks" / "main.yml", DOCKER)
    write(root / "roles" / "deepgram" / "tasks" / "main.yml", DEEPGRAM)
    verdict(monkeypatch, "pass")
    return folder


def verdict(monkeypatch: pytest.MonkeyPatch, word: str, check: str = "transcript") -> None:
    """Lets verify find one check of this verdict on every host."""

    def run(deployment: Any, hosts: list[str], progress: Any, log: Any) -> list[Check]:
        return [Check(name, check, word, "nothing", "words", "look at the Engine") for name in hosts]

    monkeypatch.setattr("dgctl.verify.run", run)


def do(capsys: pytest.CaptureFixture[str], verb: Callable[[Session], Any], **options: Any) -> dict[str, Any]:
    """Runs a verb as `--json` does and returns its document."""
    session = Session(verb.__name__, Path("inventory.ini"), as_json=True, **options)
    code = main(session, verb)
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code
    return document


def set_variable(text: str) -> None:
    with Path("group_vars/all/main.yml").open("a") as file:
        file.write(text + "\n")


def records() -> list[Path]:
    return sorted(Path(".dgctl/runs").iterdir())


def test_a_run_that_changes_and_one_that_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    first = do(capsys, verbs.provision, yes=True)
    assert (first["exit_code"], first["errors"]) == (0, [])
    assert first["hosts"]["a"] == {"state": "changed", "changed": 1, "errors": []}
    assert {check["verdict"] for check in first["checks"]} == {"pass"}
    second = do(capsys, verbs.provision, yes=True)
    assert second["hosts"]["a"] == {"state": "ok", "changed": 0, "errors": []}


def looks(monkeypatch: pytest.MonkeyPatch, **states: dict[str, str]) -> None:
    """Lets the look find each role of each host in this state; hosts that are not named are right and verified."""
    every = dict.fromkeys(("docker", "deepgram"), "right")

    def look(requests: Any, tell: Any) -> None:
        for host, _ in requests:
            roles = every | states.get(host.name, {})
            found = {role: {"state": state} for role, state in roles.items()}
            tell(host.name, Seen(found, verified=host.name not in states))

    monkeypatch.setattr("dgctl.plan.look", look)
    monkeypatch.setattr("dgctl.look.mark_verified", lambda requests: marked.extend(host.name for host, _ in requests))
    marked.clear()


marked: list[str] = []


def ran() -> set[tuple[str, str]]:
    """(host, role) of the tasks of the newest run."""
    lines = (records()[-1] / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return {(event["host"], event["role"]) for event in events if event.get("host") and event.get("role")}


def test_only_what_is_not_right_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    looks(monkeypatch, b={"deepgram": "drifted"})
    document = do(capsys, verbs.provision, yes=True)
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
    monkeypatch.setattr("dgctl.playbook.run", lambda job: pytest.fail("Ansible ran"))
    document = do(capsys, verbs.provision, yes=True)
    assert document["exit_code"] == 0
    assert document["hosts"] == {name: {"state": "ok", "changed": 0, "errors": []} for name in "ab"}
    assert "checks" not in document


def test_full_runs_every_role(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    looks(monkeypatch)
    assert do(capsys, verbs.provision, yes=True, full=True)["exit_code"] == 0
    assert ran() == {(host, role) for host in "ab" for role in ("docker", "deepgram")}


def test_right_and_not_verified_is_verified(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, a={})
    verdict(monkeypatch, "fail")
    document = do(capsys, verbs.provision, yes=True)
    assert (document["exit_code"], document["hosts"]["a"]["state"], marked) == (8, "failed", [])
    verdict(monkeypatch, "pass")
    assert do(capsys, verbs.provision, yes=True)["exit_code"] == 0
    assert marked == ["a"]


def test_plan_says_it_and_changes_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    looks(monkeypatch, b={"deepgram": "new"})
    monkeypatch.setattr("dgctl.playbook.run", lambda job: pytest.fail("Ansible ran"))
    document = do(capsys, verbs.plan)
    assert document["exit_code"] == 10
    assert document["hosts"]["a"] == {"state": "ok", "changed": 0, "errors": []}
    (step,) = document["hosts"]["b"]["plan"]["steps"]
    assert (step["role"], step["reasons"]) == ("deepgram", [{"kind": "new"}])
    looks(monkeypatch)
    assert do(capsys, verbs.plan)["exit_code"] == 0


def test_plan_with_v_shows_what_files_become(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("b.txt").write_text("release-1")
    looks(monkeypatch, b={"deepgram": "drifted"})
    document = do(capsys, verbs.plan, verbosity=1)
    (diff,) = document["diffs"]
    assert (diff["host"], diff["task"]) == ("b", "Write a file")
    assert "-release-1" in diff["text"] and "+release-260812" in diff["text"]
    assert Path("b.txt").read_text() == "release-1"


def test_a_plan_in_a_file_is_carried_out_once_and_no_more_than_it_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, b={"deepgram": "new"})
    out = Path("plan.json")
    do(capsys, verbs.plan, out=out)
    assert out.stat().st_mode & 0o777 == 0o600
    looks(monkeypatch, b={"deepgram": "new"}, a={"docker": "drifted"})
    refused = do(capsys, verbs.provision, yes=True, plan=out)
    assert refused["exit_code"] == 10
    assert refused["errors"][0]["where"] == "a" and "docker" in refused["errors"][0]["what"]
    assert not Path("b.txt").exists()
    looks(monkeypatch, b={"deepgram": "new"})
    assert do(capsys, verbs.provision, yes=True, plan=out)["exit_code"] == 0
    assert Path("b.txt").exists()
    looks(monkeypatch)
    assert do(capsys, verbs.provision, yes=True, plan=out)["exit_code"] == 0


def test_check_mode_changes_nothing_and_asks_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    document = do(capsys, verbs.provision, check=True, limit="a")
    assert document["exit_code"] == 0
    assert document["hosts"]["a"]["state"] == "changed"
    assert "checks" not in document
    assert not Path("a.txt").exists()


def test_a_failed_preflight_touches_no_host(capsys: pytest.CaptureFixture[str]) -> None:
    set_variable("refused: [a]")
    document = do(capsys, verbs.provision, yes=True)
    assert document["exit_code"] == 4
    assert {name: host["state"] for name, host in document["hosts"].items()} == {"a": "failed", "b": "skipped"}
    problem = {"what": "The disk is full", "where": "a", "value": "", "fix": "free 50 GB under /var/lib"}
    assert document["errors"] == [problem]
    assert not Path("b.txt").exists()


def test_a_failed_host_and_its_healthy_peer(capsys: pytest.CaptureFixture[str]) -> None:
    set_variable("broken: [a]")
    document = do(capsys, verbs.provision, yes=True)
    assert document["exit_code"] == 6
    assert {name: host["state"] for name, host in document["hosts"].items()} == {"a": "failed", "b": "changed"}
    (error,) = document["errors"]
    assert "Break: " in error["what"] and "the wheel came off" in error["what"]
    assert "ansible.log" in error["fix"]


def test_a_rescued_failure_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    set_variable("rescued: [a]")
    document = do(capsys, verbs.provision, yes=True, limit="a")
    assert (document["exit_code"], document["errors"]) == (0, [])
    assert document["hosts"]["a"]["state"] == "changed"


def test_a_rescued_failure_before_a_real_one_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    set_variable("rescued: [a]\nbroken: [a]")
    (error,) = do(capsys, verbs.provision, yes=True, limit="a")["errors"]
    assert error["what"].startswith("Break: ")


def test_an_unreachable_host(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    text = INVENTORY.replace("b\n", "b ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1\n", 1)
    write(folder / "inventory.ini", text)
    document = do(capsys, verbs.preflight)
    assert document["exit_code"] == 7
    assert document["hosts"]["b"]["state"] == "unreachable"
    (error,) = document["errors"]
    assert error["what"] == "nothing listens on the SSH port"
    assert "Connection refused" in error["value"]
    assert "ansible_port" in error["fix"]
    assert document["hosts"]["a"]["state"] == "ok"
    states = {name: host["state"] for name, host in do(capsys, verbs.provision, yes=True)["hosts"].items()}
    assert states == {"a": "skipped", "b": "unreachable"}
    assert not Path("a.txt").exists()


def test_a_server_whose_sudo_wants_a_password_is_as_good_as_unreachable(
    capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    task = "    - name: Look\n      ansible.builtin.fail:\n        msg: Missing sudo password\n"
    write(root / "playbooks" / "preflight.yml", PREFLIGHT.partition("    - name: Look")[0] + task)
    document = do(capsys, verbs.preflight, limit="a")
    assert (document["exit_code"], document["hosts"]["a"]["state"]) == (7, "unreachable")
    assert "ansible_become_password" in document["errors"][0]["fix"]


def test_a_failed_verify_after_a_good_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    verdict(monkeypatch, "fail")
    document = do(capsys, verbs.provision, yes=True, limit="a")
    assert document["exit_code"] == 8
    assert document["hosts"]["a"]["state"] == "failed"
    assert document["hosts"]["a"]["errors"][0]["fix"] == "look at the Engine"


@pytest.mark.parametrize(
    ("word", "check", "code", "state"),
    [
        ("pass", "gpu", 0, "ok"),
        ("skip", "gpu", 0, "ok"),
        ("fail", "gpu", 8, "failed"),
        ("fail", "reachable", 7, "unreachable"),
    ],
)
def test_verify(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, word: str, check: str, code: int, state: str
) -> None:
    verdict(monkeypatch, word, check)
    document = do(capsys, verbs.verify)
    assert document["exit_code"] == code
    assert document["hosts"]["a"]["state"] == state
    assert {(each["host"], each["verdict"]) for each in document["checks"]} == {("a", word), ("b", word)}


def test_a_verify_that_looked_at_nothing_proves_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dgctl.verify.run", lambda *words: [])
    assert do(capsys, verbs.verify)["exit_code"] == 8


def test_findings_and_lowered_minimums_reach_the_document(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    finding = "{check: memory, verdict: fail, seen: 8 GB, expected: 30 GB, fix: add memory}"
    low = "{name: preflight_min_cpu_cores, value: 2, usual: 4}"
    module = """\
        from ansible.module_utils.basic import AnsibleModule
        module = AnsibleModule({"findings": {"type": "list"}, "lowered": {"type": "list"}})
        module.exit_json(**module.params)
    """
    write(root / "plugins" / "modules" / "look.py", module)
    task = f"    - name: Look\n      look:\n        findings: [{finding}]\n        lowered: [{low}]\n"
    failing = "    - name: Judge\n      ansible.builtin.fail:\n        msg: 'One check failed. Fix: correct it'\n"
    write(root / "playbooks" / "preflight.yml", PREFLIGHT.partition("    - name: Look")[0] + task + failing)
    document = do(capsys, verbs.preflight, limit="a")
    assert document["exit_code"] == 4
    check = {
        "host": "a",
        "check": "memory",
        "verdict": "fail",
        "seen": "8 GB",
        "expected": "30 GB",
        "fix": "add memory",
    }
    assert document["checks"] == [check]
    assert document["lowered"] == [{"host": "a", "name": "preflight_min_cpu_cores", "value": 2, "usual": 4}]
    problem = {"what": "memory (expected 30 GB)", "where": "a", "value": "8 GB", "fix": "add memory"}
    assert document["hosts"]["a"]["errors"] == [problem]


def test_a_playbook_that_cannot_run_is_a_bug_with_ansibles_words(
    capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    write(root / "playbooks" / "preflight.yml", "- name: Preflight\n  hosts: node\n  roles: [no_such_role]\n")
    document = do(capsys, verbs.preflight)
    assert document["exit_code"] == 1
    assert "no_such_role" in document["errors"][0]["what"]


def test_the_record_is_private_whole_and_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    do(capsys, verbs.provision, yes=True, limit="a")
    (record,) = records()
    assert record.name.endswith("-provision")
    assert {path.name for path in record.iterdir()} == {"events.jsonl", "ansible.log", "result.json", "timings.json"}
    for path in [Path(".dgctl"), Path(".dgctl/runs"), record]:
        assert path.stat().st_mode & 0o777 == 0o700
    for path in record.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert "key-of-the-unit-tests" not in path.read_text()
    assert "the key is ********" in (record / "ansible.log").read_text()
    lines = [json.loads(line) for line in (record / "events.jsonl").read_text().splitlines()]
    written = next(line for line in lines if line.get("task") == "Write a file" and line.get("host") == "a")
    assert written["changed"] is True
    assert written["path"].endswith("roles/deepgram/tasks/main.yml:1")


def test_nothing_is_left_in_the_temporary_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    do(capsys, verbs.preflight)
    assert list(scratch.iterdir()) == []


def environment() -> dict[str, str]:
    """What Ansible gets on top of this process's environment."""
    return playbook._environment(Run("preflight.yml", None, None, record=None, progress=None))


def test_host_keys_are_checked_whatever_ansible_runner_thinks() -> None:
    assert environment()["ANSIBLE_HOST_KEY_CHECKING"] == "True"


@pytest.mark.parametrize(("spoken", "set_to"), [("C", "C.UTF-8"), ("de_DE.UTF-8", None), ("en_US.utf8", None)])
def test_ansible_gets_an_encoding_that_it_accepts(
    monkeypatch: pytest.MonkeyPatch, spoken: str, set_to: str | None
) -> None:
    monkeypatch.setenv("LC_ALL", spoken)
    assert environment().get("LC_ALL") == set_to


def test_ansible_runner_is_told_to_keep_no_event(root: Path) -> None:
    from dgctl.collector import Collector

    collector = Collector.__new__(Collector)
    collector.job = Run("preflight.yml", None, None, record=None, progress=None)
    assert collector.handle({"event": "verbose"}) is False


def test_a_child_that_ignores_ctrl_c_ends_all_the_same() -> None:
    from dgctl.interrupt import Interrupt

    script = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child, Interrupt() as stop:
        child.stdout.readline()
        interrupt()
        stop.end_children()
        assert child.wait(timeout=5) == -signal.SIGTERM


def test_interrupted_by_ctrl_c(capsys: pytest.CaptureFixture[str], sleep: str) -> None:
    began = time.monotonic()
    threading.Thread(target=_when, args=(lambda: running(sleep), interrupt), daemon=True).start()
    document = do(capsys, verbs.provision, yes=True)
    assert document["exit_code"] == 130
    assert "dgctl provision inventory.ini" in document["errors"][0]["fix"]
    assert time.monotonic() - began < 30
    assert not running(sleep)
    assert not Path("a.txt").exists()


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def _when(true: Callable[[], bool], then: Callable[[], None]) -> None:
    """Calls `then` as soon as `true`, or after 20 s."""
    until = time.monotonic() + 20
    while not true() and time.monotonic() < until:
        time.sleep(0.1)
    then()


def running(words: str) -> bool:
    """Whether a process of exactly these words runs on this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().replace(b"\0", b" ").decode().strip() == words:
                return True
    return False


@pytest.fixture
def sleep() -> str:
    """Lets provision wait in a command that no other test runs; returns that command."""
    seconds = random.randrange(10_000, 99_999)
    set_variable(f"deepgram_pause_s: {seconds}")
    return f"sleep {seconds}"


RUN = """\
import sys
from pathlib import Path
from dgctl import content
root = Path(sys.argv.pop(1))
content.root = lambda: root
from dgctl.cli import main
main()
"""


@pytest.fixture
def start(root: Path, folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts dgctl with the test's own roles; nothing that it starts outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        command = [sys.executable, "-c", RUN, str(root), *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, env=environment, text=True, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()
    processes.end_leftovers(folder / ".dgctl")


def test_a_second_run_waits_for_nobody_and_names_the_first(
    start: Callable[..., subprocess.Popen[str]], sleep: str
) -> None:
    first = start("provision", "inventory.ini", "--yes")
    _when(lambda: running(sleep), lambda: None)
    second = start("provision", "inventory.ini", "--yes", "--json")
    out, _ = second.communicate(timeout=30)
    document = json.loads(out)
    assert (second.returncode, document["exit_code"]) == (9, 9)
    assert f"pid {first.pid} " in document["errors"][0]["value"]
    assert "provision inventory.ini --yes" in document["errors"][0]["value"]
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=30) == 130
    first.communicate()


def test_after_a_killed_run_the_next_one_ends_what_it_left(
    start: Callable[..., subprocess.Popen[str]], sleep: str
) -> None:
    first = start("provision", "inventory.ini", "--yes")
    _when(lambda: running(sleep), lambda: None)
    first.kill()
    first.communicate()
    assert running(sleep)
    text = Path("group_vars/all/main.yml").read_text().replace(sleep.split()[1], "1")
    Path("group_vars/all/main.yml").write_text(text)
    second = start("provision", "inventory.ini", "--yes", "--check")
    assert second.wait(timeout=60) == 0
    second.communicate()
    assert not running(sleep)
