"""The look against this machine and against one that is not there: what is sent runs, what comes back is read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dgctl import content
from dgctl.content import bundle
from dgctl.deployment.deployment import Host
from dgctl.plan import look

FOLDER = content.utilities()


def host(**variables: object) -> Host:
    return Host(
        "here", "127.0.0.1", ["node"], {"ansible_connection": "local", "ansible_become_exe": "env", **variables}
    )


def found_by_a_look(asked: Host, **fingerprints: str) -> look.Seen:
    heard = {}
    look.look([(asked, fingerprints)], heard.__setitem__)
    assert list(heard) == ["here"]
    return heard["here"]


def test_a_role_that_never_ran_here() -> None:
    seen = found_by_a_look(host(), role_of_no_server="f1")
    assert seen.problem is None and seen.doubt == ""
    assert seen.roles["role_of_no_server"]["state"] == "new"


def test_a_password_that_nobody_asked_for_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["python3", "-IS", "-c", bundle.BOOT]
    text = "hush\n" + bundle.stdin(bundle.program(FOLDER, look.ENTRY), '{"mode": "look", "host": "h", "roles": {}}')
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith(look._MARK)
    assert done.stderr == ""


def test_the_lease_s_program_runs_as_it_is_sent() -> None:
    asker = look.Asker([host()], "", "look.lease")
    name, seen = asker.ask(host(), "renew", run="of no server")
    assert (name, seen.problem, seen.doubt) == ("here", None, "") and "lost" in seen.lease
    assert len(bundle.program(FOLDER, "look.lease")) < 3_000


def test_a_server_that_is_not_there() -> None:
    missing = host(ansible_connection="ssh", ansible_port=1, ansible_user="root")
    seen = found_by_a_look(missing)
    assert seen.problem.what == "nothing listens on the SSH port"
    assert seen.problem.where == "here"


@pytest.mark.parametrize(("closed", "tries"), [(1, 2), (9, 3)])
def test_a_connection_that_sshd_closes_at_once_is_tried_again(tmp_path: Path, closed: int, tries: int) -> None:
    count = tmp_path / "count"
    script = (
        f"echo x >> {count}; [ $(wc -l < {count}) -gt {closed} ] && exec cat; "
        "echo 'kex_exchange_identification: Connection closed by remote host' >&2; exit 255"
    )
    done = look._run(["sh", "-c", script], b"answer", {"PATH": "/usr/bin:/bin"})
    assert done.stdout == (b"answer" if closed < 3 else b"")
    assert len(count.read_text().splitlines()) == tries


def test_a_look_that_breaks_is_a_doubt_and_no_silence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bundle, "program", lambda folder, entry: "eJwrKEotSk1UyEksSdVQBwAn6wUV")  # not a program
    seen = found_by_a_look(host(), a="1")
    assert seen.doubt.startswith("the look failed: ")


def test_only_the_look_s_own_modules_are_sent() -> None:
    sent = bundle.sources(FOLDER, {look.ENTRY})
    assert "look.look" in sent and "host.record" in sent
    assert "model_files" not in sent
    assert len(bundle.program(FOLDER, look.ENTRY)) < 30_000  # it goes over the wire to every server at every look


@pytest.mark.parametrize(
    ("interpreter", "runs"),
    [("{folder}/python3.12", True), ("auto", False), ("auto_silent", False), ("", False), ("python3.12", False)],
)
def test_the_look_runs_with_the_interpreter_of_the_host(tmp_path: Path, interpreter: str, runs: bool) -> None:
    """On EL 8 python3 is 3.6, which cannot run it; words such as auto are Ansible's, and no program."""
    own, trace = tmp_path / "python3.12", tmp_path / "trace"
    own.write_text(f'#!/bin/sh\necho x >> {trace}\nexec python3 "$@"\n')
    own.chmod(0o755)
    seen = found_by_a_look(host(ansible_python_interpreter=interpreter.format(folder=tmp_path)), role="f1")
    assert seen.roles["role"]["state"] == "new" and trace.exists() is runs


def test_an_interpreter_or_an_ssh_that_is_not_there_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = tmp_path / "none"
    problem = found_by_a_look(host(ansible_python_interpreter=str(none)), role="f1").problem
    assert problem is not None and problem.what == f"{none}: No such file or directory"
    assert problem.fix.startswith(f"install {none} on this machine")
    monkeypatch.setenv("PATH", str(tmp_path))
    problem = found_by_a_look(host(ansible_connection="ssh", ansible_user="root"), role="f1").problem
    assert problem is not None and problem.what == "ssh: No such file or directory"


def test_a_server_that_does_not_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "BOOT", "import time; time.sleep(60)")
    monkeypatch.setattr(look, "LIMIT_S", 1)
    problem = found_by_a_look(host(), role="f1").problem
    assert problem is not None and problem.what == "the server did not answer within 1 s" and problem.fix


def test_a_connection_that_the_look_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = found_by_a_look(host(ansible_connection="docker"), role="f1").problem
    assert problem is not None and problem.fix == "use ssh and sudo for this server"
