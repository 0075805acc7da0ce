"""The way to a host is Ansible's, passwords stay out of arguments, and the cause of a failure is kept."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dgctl import content
from dgctl.base.ssh import ASKPASS, Route, route, with_options
from dgctl.verify.connection import Connection, Unreachable

CONFIG = content.root() / "ansible.cfg"


def way(**variables):
    return route(variables, "192.0.2.1", CONFIG, Path("/run/socket"))


def test_the_inventory_s_ssh_variables_reach_the_command():
    found, secrets = way(
        ansible_user="ops",
        ansible_port=2222,
        ansible_ssh_private_key_file="~/keys/id",
        ansible_ssh_common_args="-o ProxyJump=bastion -o 'UserKnownHostsFile=/a b'",
    )
    words = found.login
    assert words[0] == "ssh" and words[-1] == "192.0.2.1"
    for setting in ("User=ops", "Port=2222", f'IdentityFile="{Path.home()}/keys/id"', "BatchMode=yes"):
        assert setting in words
    assert "ProxyJump=bastion" in words and "UserKnownHostsFile=/a b" in words
    assert "ControlMaster=auto" in words
    assert [word for word in words if "ControlPath" in word] == ["ControlPath=/run/socket"]
    assert not any("StrictHostKeyChecking" in word for word in words)
    assert found.sudo == ["sudo", "-n"] and secrets == {}


def test_a_way_over_a_socket_of_its_own():
    """ssh takes the first value that it sees."""
    over = way(ansible_user="ops")[0].over("/run/other")
    assert next(word for word in over.login if "ControlPath" in word) == "ControlPath=/run/other"
    assert (over.login[0], over.login[-1]) == ("ssh", "192.0.2.1")
    assert Route("here").over("/run/other").login == []


def test_ansible_s_environment_counts_as_for_ansible(monkeypatch):
    monkeypatch.setenv("ANSIBLE_REMOTE_USER", "fromenv")
    assert "User=fromenv" in way()[0].login
    assert "User=ops" in way(ansible_user="ops")[0].login


def test_root_needs_no_sudo():
    assert way(ansible_user="root")[0].sudo == []


def test_passwords_are_secrets_and_no_words():
    found, secrets = way(ansible_user="ops", ansible_password="hush1", ansible_become_password="hush2")
    assert secrets == {"password": "hush1", "become": "hush2"}
    assert "hush" not in json.dumps(found.as_dict())
    assert found.sudo == ["sudo", "-S", "-p", ""]
    assert "BatchMode=yes" not in found.login


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"ansible_connection": "winrm"}, "winrm"),
        ({"ansible_become_method": "su"}, "ansible_become_method is su"),
    ],
)
def test_a_way_that_verify_does_not_know_is_named(variables, named):
    found, _ = way(**variables)
    assert named in found.problem
    with pytest.raises(Unreachable, match=named):
        Connection("a", found, {}).run("true")


@pytest.fixture
def stand_in_ssh(tmp_path):
    """A program in ssh's place: notes its arguments, asks for passwords, runs the command here."""
    program = tmp_path / "ssh"
    program.write_text(
        f"""#!{sys.executable}
import json, os, subprocess, sys
def ask(prompt):
    return subprocess.check_output([os.environ["SSH_ASKPASS"], prompt], text=True)
seen = {{"said": ask("ops@gpu1's password: "), "phrase": ask("Enter passphrase for key '{tmp_path}/askpass': ")}}
json.dump(seen | {{"argv": sys.argv}}, open("{tmp_path}/seen", "w"))
sys.exit(subprocess.run(["/bin/sh", "-c", sys.argv[-1]]).returncode)
"""
    )
    program.chmod(0o755)
    askpass = tmp_path / "askpass"
    askpass.write_text(ASKPASS)
    askpass.chmod(0o755)
    return program


def test_passwords_reach_ssh_and_sudo_but_no_argument(stand_in_ssh, tmp_path):
    """`cat` in sudo's place shows what sudo would read."""
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\nread password\necho "sudo read: $password"\nshift 3\nexec "$@"\n')
    sudo.chmod(0o755)
    found = Route("gpu1", [str(stand_in_ssh), "gpu1"], [str(sudo), "-S", "-p", ""])
    secrets = {"password": "hush 1'", "passphrase": "hush 2", "become": "hush 3"}
    done = Connection("gpu1", found, secrets, str(tmp_path / "askpass")).run("echo %s", "it's done")
    assert done.stdout == "sudo read: hush 3\nit's done\n"
    seen = json.loads((tmp_path / "seen").read_text())
    assert (seen["said"], seen["phrase"]) == ("hush 1'\n", "hush 2\n")
    assert "hush" not in json.dumps(seen["argv"])


@pytest.mark.parametrize(
    ("prompt", "answered"),
    [
        ("ops@gpu1's password: ", "word"),
        ("(ops@gpu1) Password: ", "word"),
        ("Password: ", "word"),
        ("Enter passphrase for key '{here}': ", "phrase"),
        ("(ops@gpu1) Enter passphrase for key '{here}': ", None),
        ("(ops@gpu1) Passphrase: ", None),
        ("Enter passphrase for key '/nowhere': ", None),
        ("Enter passphrase: ", None),
        ("Are you sure you want to continue connecting (yes/no/[fingerprint])? ", None),
        ("Verification code: ", None),
    ],
)
def test_only_what_ssh_itself_asks_is_answered(tmp_path, prompt, answered):
    """A server that asked for the passphrase in a prompt of its own once got it."""
    program = tmp_path / "askpass"
    program.write_text(ASKPASS)
    words = ["/bin/sh", str(program), prompt.format(here=program)]
    secrets = {"DGCTL_SSH_PASSWORD": "word", "DGCTL_SSH_PASSPHRASE": "phrase"}
    reported = subprocess.run(words, env={**secrets, "PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert (reported.stdout, reported.returncode) == ((f"{answered}\n", 0) if answered else ("", 1))


def test_ssh_s_own_failure_is_unreachable_and_keeps_its_words(tmp_path):
    program = tmp_path / "ssh"
    program.write_text(
        "#!/bin/sh\necho 'Warning: x' >&2\necho 'ops@gpu1: Permission denied (publickey).' >&2\nexit 255\n"
    )
    program.chmod(0o755)
    with pytest.raises(Unreachable, match=r"Permission denied \(publickey\)"):
        Connection("gpu1", Route("gpu1", [str(program), "gpu1"]), {}).run("true")


def test_the_shared_connection_is_closed_at_the_end(tmp_path):
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n')
    program.chmod(0o755)
    connection = Connection("gpu1", Route("gpu1", [str(program), "-o", "A=b", "gpu1"]), {})
    connection.close()
    assert not (tmp_path / "calls").exists()
    connection.run("true")
    connection.close()
    assert (tmp_path / "calls").read_text().splitlines()[-1] == "-o A=b -O exit gpu1"


def test_a_command_that_fails_is_no_failure_of_the_connection():
    assert Connection("here", Route("127.0.0.1"), {}).run("exit 255").rc == 255


def test_a_command_that_never_ends_is_cut_off(monkeypatch):
    monkeypatch.setattr("dgctl.verify.connection.COMMAND_LIMIT_S", 1)
    assert Connection("here", Route("127.0.0.1"), {}).run("sleep 30").rc == 124


def test_more_options_come_before_the_end_of_options():
    """ssh takes what stands behind `--` for the address, and behind that for a command."""
    login = way()[0].login
    assert login[-2:] == ["--", "192.0.2.1"]
    assert with_options(login, "-O", "exit") == [*login[:-2], "-O", "exit", "--", "192.0.2.1"]
    assert with_options(["ssh", "192.0.2.1"], "-O", "exit") == ["ssh", "-O", "exit", "192.0.2.1"]


def test_the_shared_connection_is_ended_in_words_that_ssh_reads(monkeypatch):
    ran = []
    monkeypatch.setattr("subprocess.run", lambda words, **_: ran.append(words))
    made = Connection("gpu1", way()[0], {})
    made.commands = 1
    made.close()
    (words,) = ran
    options, _, behind = " ".join(words).partition(" -- ")
    assert " -O exit" in options and behind == "192.0.2.1"
