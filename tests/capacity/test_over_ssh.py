"""`dgctl capacity` asks the Prometheus of the group monitoring over SSH; each way in which that fails is a sentence."""

import json
import time
from pathlib import Path

import pytest

from tests.bench.test_retained import keep
from tests.capacity import asked
from tests.capacity.test_capacity_verb import GPUS, NOW, UP, growing, here, run  # noqa: F401
from tests.ports import free_port
from tests.ssh_program import Ssh
from tests.unit.conftest import folder  # noqa: F401 - a deployment of gpu1 and gpu2

ONE, OTHER = "192.0.2.20", "192.0.2.21"
MONITORS = f"[monitoring]\nmon1 ansible_host={ONE}\nmon2 ansible_host={OTHER}\n\n"


@pytest.fixture
def ssh(here, tmp_path, monkeypatch):  # noqa: F811
    """Two servers that watch, each a way through SSH."""
    Path("inventory.ini").write_text(MONITORS + Path("inventory.ini").read_text())
    keep(here / ".dgctl/bench")
    place = tmp_path / "bin"
    place.mkdir()
    return Ssh(place, monkeypatch)


def port(url):
    return int(url.rpartition(":")[2])


def figures():
    return asked.prometheus(asked.whole(NOW, {"stt": growing()}, gpus=GPUS, up=UP))


def test_the_figures_come_through_ssh(ssh):
    with figures() as url:
        ssh.servers({ONE: {"to": port(url)}})
        ended = run("--json")
    assert ended.exit_code == 0, ended.output
    assert json.loads(ended.stdout)["capacity"]["profiles"]["stt"]["requests"]["peak"]["value"] > 30
    (words,) = ssh.calls
    assert words[-2:] == ["--", ONE] and "User=ops" in words and "ExitOnForwardFailure=yes" in words and "-N" in words
    assert words[words.index("-L") + 1].endswith(":127.0.0.1:9090"), "loopback of the server, where Prometheus listens"
    assert "ControlMaster=no" in words, "a connection of its own: it ends with the question"


def test_the_port_is_that_of_the_role(ssh):
    Path("group_vars/all/main.yml").write_text(
        Path("group_vars/all/main.yml").read_text() + "monitoring_prometheus_port: 9191\n"
    )
    with figures() as url:
        ssh.servers({ONE: {"to": port(url)}})
        assert run().exit_code == 0
    assert any(word.endswith(":127.0.0.1:9191") for word in ssh.calls[0])


@pytest.mark.parametrize(
    ("first", "says"),
    [
        ({"says": f"ssh: connect to host {ONE} port 22: Connection timed out\n", "status": 255}, "timed out"),
        ({"to": 1}, "Connection refused"),
    ],
)
def test_where_one_tells_nothing_the_other_is_asked(ssh, first, says):
    with figures() as url:
        ssh.servers({ONE: first, OTHER: {"to": port(url)}})
        ended = run("--json")
    reported = json.loads(ended.stdout)
    assert ended.exit_code == 0 and reported["capacity"]["profiles"]["stt"]["requests"]["peak"]["value"] > 30
    assert [words[-1] for words in ssh.calls] == [ONE, OTHER] and says not in ended.output


@pytest.mark.parametrize(
    ("says", "what", "fix"),
    [
        (f"ssh: connect to host {ONE} port 22: Connection timed out\n", "the server does not answer", "firewalls"),
        (f"ssh: connect to host {ONE} port 22: Connection refused\n", "nothing listens on the SSH port", "sshd"),
        (f"ops@{ONE}: Permission denied (publickey).\n", "refuses this user or SSH key", "authorized_keys"),
        ("Host key verification failed.\n", "host key is not known here", "ssh-keyscan -p 22 -H 192.0.2.20"),
    ],
)
def test_a_server_out_of_reach(ssh, says, what, fix):
    ssh.servers({ONE: {"says": says, "status": 255}, OTHER: {"says": says, "status": 255}})
    ended = run()
    assert ended.exit_code == 7 and "mon1" in ended.output and "mon2" in ended.output, ended.output
    assert what in ended.output and fix in ended.output and "Traceback" not in ended.output
    assert "gpu1    36     nine tenths of its bench" in ended.stdout, "what is known is told all the same"


def test_a_server_that_lets_nobody_forward(ssh):
    """sshd without AllowTcpForwarding: the way opens, and each connection through it is refused."""
    reported = {"to": 1, "refuses": "administratively prohibited: open failed"}
    ssh.servers({ONE: reported, OTHER: reported})
    ended = run()
    assert ended.exit_code == 7 and "administratively prohibited" in ended.output
    assert "AllowTcpForwarding" in ended.output


def test_a_prometheus_that_does_not_run(ssh):
    free = free_port()
    ssh.servers({ONE: {"to": free}, OTHER: {"to": free}})
    ended = run()
    assert ended.exit_code == 7 and "Prometheus tells nothing" in ended.output
    assert "Connection refused" in ended.output and "systemctl status prometheus" in ended.output, ended.output


def torn(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "4000")
    handler.end_headers()
    handler.wfile.write(b'{"status": "success", "da')


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "no JSON"),
        (torn, "its answer is torn"),
        (lambda handler: handler.connection.close(), "hung up"),
        (b'{"status": "success", "data": {"result": []}}', "does not tell its time"),
        (b"<html>login\x1b]0;owned\x07</html>", "no JSON"),
    ],
)
def test_an_answer_that_is_none(ssh, raw, says):
    with asked.prometheus(None, raw=raw) as url:
        ssh.servers({ONE: {"to": port(url)}, OTHER: {"to": port(url)}})
        ended = run()
    assert ended.exit_code == 7 and "Prometheus tells nothing" in ended.output and says in ended.output
    assert "\x1b" not in ended.output and "Traceback" not in ended.output
    assert "gpu1    36     nine tenths of its bench" in ended.stdout


def test_much_that_ssh_says_holds_nothing_up(ssh):
    """ssh writes a line for each connection that it cannot make; into a pipe that nobody reads it once stood still."""
    started = time.monotonic()
    ssh.servers({ONE: {"to": 1, "times": 20_000}, OTHER: {"to": 1, "times": 20_000}})
    assert run().exit_code == 7 and time.monotonic() - started < 25


def test_nothing_runs_on_afterwards(ssh, tmp_path):
    with figures() as url:
        ssh.servers({ONE: {"to": port(url)}})
        run()
    running = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path / "bin/ssh") in _read(path)]
    assert running == []


def _read(path):
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
