"""Small parts with free-form input, held to properties."""

from __future__ import annotations

import json
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgctl.base import lock, names, scratch, ssh, unreachable
from dgctl.base.errors import DgctlError, Exit, split_fix
from dgctl.output.progress import Lines, Table, clock
from dgctl.output.report import Check, Outcome
from dgctl.run import events, history
from dgctl.validation import duplicates

WORDS = st.text(string.ascii_letters + " .,:;/-_'\"", min_size=1).map(str.strip).filter(bool)
KNOWN = ["deepgram_release", "deepgram_api_port", "nginx_proxy_server_name", "nvidia_driver_branch", "docker_packages"]


@given(what=WORDS.filter(lambda text: "Fix: " not in text + " "), fix=WORDS)
def test_a_message_splits_where_its_fix_begins(what: str, fix: str) -> None:
    assert split_fix(f"{what}. Fix: {fix}") == (what.rstrip("."), fix)


@given(text=st.text())
def test_a_message_without_a_fix_stays_whole(text: str) -> None:
    if "Fix: " not in text:
        assert split_fix(text) == (text.strip(), "")


@given(name=st.sampled_from(KNOWN), data=st.data())
def test_one_slip_of_the_keys_finds_the_right_name(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(name) - 2))
    kind = data.draw(st.sampled_from(["lost", "doubled", "swapped"]))
    slip = {
        "lost": name[:place] + name[place + 1 :],
        "doubled": name[:place] + name[place] + name[place:],
        "swapped": name[:place] + name[place + 1] + name[place] + name[place + 2 :],
    }[kind]
    assert names.nearest(slip, KNOWN) == name
    assert slip == name or names.alike(slip, KNOWN) == name


@given(name=st.text(string.ascii_lowercase + "_", min_size=1, max_size=12))
def test_short_names_of_ones_own_are_no_slips(name: str) -> None:
    assert names.alike(name, KNOWN) == ""


def test_ansibles_own_names_are_known_and_slips_of_them_are_not() -> None:
    known = names.ansible_names()
    desired = {"ansible_host", "ansible_port", "ansible_user", "ansible_become", "ansible_become_password"}
    desired |= {"ansible_ssh_private_key_file", "ansible_ssh_common_args", "ansible_python_interpreter"}
    desired |= {"ansible_connection", "ansible_password", "ansible_ssh_host_key_checking", "ansible_become_method"}
    assert desired <= known
    assert not {"ansible_hots", "ansible_ssh_key", "ansible_sudo"} & known
    assert names.is_ansible("ansible_ruby_interpreter", known)


@given(secret=st.text(string.ascii_letters + string.digits + "-+/=", min_size=6), around=st.text())
def test_no_secret_leaves_the_redactor(secret: str, around: str) -> None:
    assert secret not in history.Redactor({secret})(f"{around}{secret}{around}").replace(history.MASK, "")


@pytest.mark.parametrize(
    "secret", ['pass"word', "back\\slash", "two\nlines", "Straße-geheim", "tab\tbed", "it's 'one'"]
)
def test_no_secret_survives_what_writes_it_in_quotes(secret: str) -> None:
    for written in (
        json.dumps({"a": secret}),
        json.dumps([secret], ensure_ascii=False),
        repr([secret]),
        json.dumps(json.dumps(secret))[3:-3],
    ):
        reported = history.Redactor({secret})(written)
        assert secret not in reported and secret[-5:] not in reported, reported


def test_the_longer_of_two_secrets_leaves_no_rest() -> None:
    assert history.Redactor({"abcdef", "abcdefgh"})("abcdefgh") == history.MASK


@given(groups=st.lists(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=6), max_size=4))
def test_hosts_that_stand_twice_are_found_at_their_line(tmp_path_factory: pytest.TempPathFactory, groups: list) -> None:
    lines, expected = [], []
    for number, hosts in enumerate(groups):
        lines.append(f"[group{number}]")
        for place, host in enumerate(hosts):
            lines.append(f"{host} ansible_host=192.0.2.{place}")
            if host in hosts[:place]:
                expected.append(f":{len(lines)}")
    path = tmp_path_factory.mktemp("ini") / "inventory.ini"
    path.write_text("\n".join(lines))
    assert [problem.where[problem.where.rindex(":") :] for problem in duplicates.ini_lines(path)] == expected


def way(name: str) -> dict[str, str]:
    return {"login": f"ssh {name}", "address": name, "port": "22", "known_hosts": "~/.ssh/known_hosts", "entry": name}


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ("ops@192.0.2.1: Permission denied (publickey).", "refuses this user or SSH key"),
        ("Host key verification failed.", "host key is not known here"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "host key is not the known one"),
        ("ssh: connect to host 192.0.2.1 port 22: Connection timed out", "does not answer"),
        ("ssh: connect to host 192.0.2.1 port 22: No route to host", "does not answer"),
        ("ssh: connect to host 192.0.2.1 port 22: Connection refused", "nothing listens"),
        ("ssh: Could not resolve hostname gpu1: Name or service not known", "does not resolve"),
        ("sudo: a password is required", "sudo on the server wants a password"),
        ("Missing sudo password", "sudo on the server wants a password"),
        ("ops is not in the sudoers file.", "sudo on the server wants a password"),
        ("kex_exchange_identification: Connection closed by remote host", "closed the SSH connection"),
        ("to use the 'ssh' connection type with passwords, you must install the sshpass program", "no sshpass"),
        ("something new", "cannot be reached"),
    ],
)
def test_causes_of_unreachable(message: str, what: str) -> None:
    found, fix = unreachable.cause(message, way("gpu1"))
    assert what in found
    assert fix


@pytest.mark.parametrize(
    ("result", "reported"),
    [
        ({"msg": "Task failed: Action failed: no such package"}, "no such package"),
        # ansible-core 2.19 and 2.20 (modules/command.py), then 2.21's words for the same.
        ({"msg": "non-zero return code", "rc": 1, "stderr": "a\nb\nc\nd"}, "non-zero return code: b | c | d"),
        (
            {"msg": "The command exited with a non-zero return code.", "rc": 2, "stderr": "no GPU"},
            "return code: no GPU",
        ),
        ({"msg": "Some words of tomorrow.", "rc": 2, "stderr": "", "stdout": "no GPU"}, "tomorrow: no GPU"),
        ({"msg": "MODULE FAILURE", "rc": 1, "module_stderr": "sh: not found"}, "MODULE FAILURE: sh: not found"),
        ({"msg": "apt failed: E: no space", "rc": 100, "stderr": "E: no space\n"}, "apt failed: E: no space"),
        ({"msg": "Told. Fix: do it.", "rc": 1, "stderr": "noise"}, "Told. Fix: do it."),
        ({"rc": 3, "stdout": "only this"}, "only this"),
        ({"censored": "hidden", "msg": "hunter22"}, "its output is hidden"),
        ({"msg": "One or more items failed", "results": [{"failed": True, "msg": "one"}, {"msg": "two"}]}, "one"),
        ({}, "said nothing"),
    ],
)
def test_the_words_of_a_failed_task(result: dict, reported: str) -> None:
    assert events.message(result).endswith(reported) or "hidden" in reported
    assert reported in events.message(result)
    assert "hunter22" not in events.message(result)


def test_a_sudo_that_wants_a_password_names_its_fix() -> None:
    event = {
        "event": events.FAILED,
        "event_data": {"host": "a", "task": "Look", "res": {"msg": "Missing sudo password"}},
    }
    problem = events.problem(event, "log", ssh.Route)
    assert "sudo" in problem.what and "ansible_become_password" in problem.fix


# ansible-core 2.20 and 2.19, ssh.py _send_initial_data: it writes to an ssh that has ended, and loses what that said.
@pytest.mark.parametrize("end", ["over SSH.", "over SSH: [Errno 32] Broken pipe", "over ssh: [Errno 32] Broken pipe"])
def test_ssh_itself_is_asked_where_ansible_lost_its_words(end: str, tmp_path: Path) -> None:
    lost = f"Data could not be sent to remote host '127.0.0.1'. Make sure this host can be reached {end}"
    reported = events.problem(_unreachable(lost), "log", lambda name: _way(tmp_path, "Connection refused", 255))
    assert reported.what == "nothing listens on the SSH port" and "Connection refused" in reported.value
    well = events.problem(_unreachable(lost), "log", lambda name: _way(tmp_path, "a banner", 0))
    assert well.value == lost


def test_what_ssh_said_to_ansible_stands() -> None:
    reported = 'Data could not be sent to remote host "g". Make sure this host can be reached over ssh: g: Permission denied (x)'
    problem = events.problem(_unreachable(reported), "log", lambda name: ssh.Route("g", ["/no/ssh", "--", "g"]))
    assert problem.value == reported and "refuses this user" in problem.what


def _unreachable(reported: str) -> dict:
    return {"event": events.UNREACHABLE, "event_data": {"host": "a", "res": {"msg": reported}}}


def _way(folder: Path, says: str, status: int) -> ssh.Route:
    program = folder / "ssh"
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {status}\n")
    program.chmod(0o755)
    return ssh.Route("127.0.0.1", [str(program), "--", "127.0.0.1"])


def test_a_module_may_give_value_and_fix_apart() -> None:
    result = {"msg": "Too little memory", "value": "8 GB", "fix": "add memory"}
    problem = events.problem({"event": events.FAILED, "event_data": {"host": "a", "res": result}}, "log", ssh.Route)
    assert (problem.what, problem.where, problem.value, problem.fix) == ("Too little memory", "a", "8 GB", "add memory")


def test_the_record_never_keeps_a_result() -> None:
    event = {"event": "runner_on_ok", "event_data": {"host": "a", "res": {"msg": "secret", "changed": True}}}
    assert "secret" not in json.dumps(events.entry(event))


def test_the_lock_is_free_again_after_its_holder(tmp_path: Path) -> None:
    for _ in range(2):
        with lock.held(tmp_path, "dgctl provision"):
            pass
    assert (tmp_path / "lock").read_text() == ""


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from dgctl.base import lock\n"
    code += "with lock.held(Path(sys.argv[1]), 'dgctl provision x'): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(DgctlError) as caught, lock.held(tmp_path, "dgctl provision"):
            pass
        other.kill()
    assert caught.value.exit_code == Exit.LOCKED
    assert f"pid {other.pid} " in caught.value.problems[0].value
    assert "dgctl provision x" in caught.value.problems[0].value
    with lock.held(tmp_path, "dgctl provision"):  # a killed holder holds nothing
        pass


def test_runs_of_one_second_have_records_of_their_own(tmp_path: Path) -> None:
    redact = history.Redactor(set())
    paths = {history.Record(tmp_path / "inventory.ini", "verify", redact).path for _ in range(3)}
    assert len(paths) == 3


def test_a_killed_run_leaves_its_scratch_to_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f"dgctl-run-{dead.pid}-abc").mkdir()
    (tmp_path / "dgctl-run-1-abc").mkdir()  # of a process that lives
    (tmp_path / "dgctl-notes").mkdir()
    with scratch.folder("run") as private:
        assert private.stat().st_mode & 0o777 == 0o700
        assert {path.name for path in tmp_path.iterdir()} == {"dgctl-run-1-abc", "dgctl-notes", private.name}
    assert not private.exists()


def test_lines_name_a_failure_when_its_phase_ends(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.phase("Preflight")
    lines.host("a", "failed", "no disk")
    lines.host("b", "failed", "rescued later")
    lines.host("b", "running", "next task")
    lines.phase("Models")
    reported = [line.split(maxsplit=1)[1] for line in capsys.readouterr().err.splitlines()]
    assert reported == ["Preflight", "a failed: no disk", "Models"]


def test_the_table_shows_failing_hosts_first_when_not_all_fit() -> None:
    from rich.console import Console

    hosts = [f"gpu{number}" for number in range(50)]
    table = Table(hosts, ["Preflight"], height=12)
    table.phase("Preflight")
    table.host("gpu49", "failed", "no [disk]")
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    reported = console.export_text()
    assert "Preflight (1/1)" in reported
    assert "gpu49" in reported and "no [disk]" in reported
    assert "and 44 more" in reported


@pytest.mark.parametrize(("seconds", "reported"), [(0, "0s"), (59.9, "59s"), (185, "3m05s"), (3720, "1h02m")])
def test_times(seconds: float, reported: str) -> None:
    assert clock(seconds) == reported


def test_the_document_has_the_keys_of_the_contract() -> None:
    check = Check("a", "gpu", "fail", "none", "1", "plug it in")
    document = Outcome(Exit.VERIFY, checks=[check]).document("verify", 1.0)
    assert list(document) == ["command", "exit_code", "seconds", "errors", "checks"]
    assert list(document["checks"][0]) == ["host", "check", "verdict", "seen", "expected", "fix"]


def test_an_estimate_comes_from_the_last_runs_of_each_role(folder: Path) -> None:
    inventory = folder / "inventory.ini"
    for number in range(9):
        run = folder / ".dgctl" / "runs" / f"2026112{number}T000000Z-provision"
        run.mkdir(parents=True)
        roles = {"often": number, **({"seldom": 40.0} if number == 0 else {})}
        (run / "timings.json").write_text(json.dumps({"roles": roles}))
    (run / "timings.json").write_text('{"roles": {"of')  # killed while it wrote
    assert history.lately(inventory) == {"often": 5, "seldom": 40.0}


def test_the_remedy_for_a_host_key_names_the_known_hosts_file_and_port_that_ssh_uses(tmp_path: Path) -> None:
    route = ssh.Route("gpu1", ["ssh"], by_hand=f"ssh -p 2222 -o UserKnownHostsFile={tmp_path}/known ops@192.0.2.11")
    _, fix = unreachable.cause("Host key verification failed.", ssh.effective(route))
    assert f"ssh-keyscan -p 2222 -H 192.0.2.11 >>{tmp_path}/known" in fix
    assert f"ssh-keygen -f {tmp_path}/known -R '[192.0.2.11]:2222'" in fix
