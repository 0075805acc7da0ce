"""`dgctl logs` over SSH, as a process: Ctrl-C, a connection that is lost, and a server that writes what it likes."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dgctl.deployment.deployment import Host
from dgctl.run import host_logs
from tests.paths import PROJECT
from tests.ssh_program import Ssh
from tests.unit.conftest import folder  # noqa: F401 - a deployment of gpu1 and gpu2

ONE, OTHER = "192.0.2.11", "192.0.2.12"
TIME = 1796026288.5


@pytest.fixture
def ssh(folder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    place = tmp_path / "bin"
    place.mkdir()
    return Ssh(place, monkeypatch)


def line(text, **more):
    return "log: " + json.dumps({"time": TIME, "source": "engine", "text": text} | more)


def says(*reported, then="exec sleep 300"):
    """A server that reads the program it is sent, and writes these lines."""
    return {"runs": "; ".join(["cat >/dev/null", *(f"printf '%s\\n' {shlex.quote(text)}" for text in reported), then])}


def heeding():
    """Signals count, although whoever runs the tests may ignore them: `&` of a script, nohup."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Followed:
    """`dgctl logs --follow` while it runs."""

    def __init__(self, *words):
        command = [sys.executable, "-m", "dgctl", "logs", "inventory.ini", "--follow", *words]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            preexec_fn=heeding,
        )  # fmt: skip

    def lines(self, count):
        return [self.process.stdout.readline().rstrip("\n") for _ in range(count)]

    def ended(self, number=0):
        """(exit code, the rest of stdout, stderr); `number`: a signal for its whole group, as a terminal sends it."""
        if number:
            os.killpg(self.process.pid, number)
        try:
            out, err = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        return self.process.returncode, out, err


def followed(*words):
    return Followed(*words).ended()


def running(place):
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(place).encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return [one for one in found if one != str(os.getpid())]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_with_ctrl_c_and_leaves_no_session(ssh, tmp_path, number):
    ssh.servers({ONE: says(line("one")), OTHER: says(line("other"))})
    seen = Followed()
    first = seen.lines(2)
    code, _, err = seen.ended(number)
    assert sorted(first) == [
        "2026-11-30 08:11:28.500  gpu1  engine  one",
        "2026-11-30 08:11:28.500  gpu2  engine  other",
    ]
    assert code == 0 and "Traceback" not in err and "note:" not in err, err
    until = time.monotonic() + 10
    while left := running(tmp_path / "bin"):
        assert time.monotonic() < until, left
        time.sleep(0.1)


def test_the_way_is_ansible_s(ssh):
    ssh.servers({ONE: says(line("one"), then="true"), OTHER: says(then="true")})
    code, out, err = followed()
    assert code == 0 and "gpu1  engine  one" in out, err
    words = next(words for words in ssh.calls if ONE in words)
    assert "User=ops" in words and "BatchMode=yes" in words and words[-1].startswith("sudo -n ")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (f"Connection to {ONE} closed by remote host.", "the server closed the SSH connection"),
        ("client_loop: send disconnect: Broken pipe", "the server closed the SSH connection"),
        (f"Timeout, server {ONE} not responding.", "the server does not answer"),
    ],
)
def test_a_connection_that_is_lost_in_the_middle_of_a_line(ssh, words, what):
    """What came whole is shown, what is torn is not, and the other server goes on."""
    lost = f"printf %s {shlex.quote(line('torn')[:30])}; echo {shlex.quote(words)} >&2; exit 255"
    ssh.servers({ONE: says(line("whole"), then=lost), OTHER: says(then=f"sleep 2; echo {shlex.quote(line('later'))}")})
    code, out, err = followed()
    assert code == 7 and "gpu1  engine  whole" in out and "torn" not in out
    assert "gpu2  engine  later" in out, "the other one is followed until its own end"
    assert f"note: gpu1: {what}" in err and words in err and "Traceback" not in err


def test_a_server_out_of_reach_does_not_hold_up_the_other(ssh):
    ssh.servers({OTHER: says(line("here"))})
    seen = Followed()
    assert seen.lines(1) == ["2026-11-30 08:11:28.500  gpu2  engine  here"]
    assert "note: gpu1: the server does not answer" in seen.process.stderr.readline()
    code, _, err = seen.ended(signal.SIGINT)
    assert code == 7 and "Connection timed out" in err


HOSTILE = [
    line("red\x1b[31m \x1b]0;owned\x07 \x9b2J\u202e"),
    line("x", source="\x1b[2J"),
    line("x", signature="\x1b[1m", meaning="\x1b[1m", fix="\x1b[1m"),
    'log: {"note": "\\u001b]52;c;b3duZWQ=\\u0007"}',
]


@pytest.mark.parametrize("options", [[], ["--explain"]])
def test_escape_sequences_are_written_out(ssh, options):
    ssh.servers({ONE: says("\x1b[2J motd", *HOSTILE, then="printf '\\033[2J' >&2"), OTHER: says(then="true")})
    code, out, err = followed(*options)
    assert code == 0 and "\\x1b[31m" in out and "\\x1b[2J" in out and "\\x1b]52" in err
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(out + err), (out, err)


def test_escape_sequences_in_a_document(ssh):
    ssh.servers({ONE: says(*HOSTILE, then="true"), OTHER: says(then="true")})
    command = [sys.executable, "-m", "dgctl", "logs", "inventory.ini", "--json"]
    reported = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(reported)
    assert any("\x9b2J\u202e" in one["text"] for one in json.loads(reported)["lines"]), "the value is as it was"


def test_escape_sequences_in_json(ssh):
    ssh.servers({ONE: says(*HOSTILE, then="true"), OTHER: says(then="true")})
    code, out, _ = followed("--json")
    assert code == 0 and not {"\x1b", "\x07", "\x9b", "\u202e"} & set(out)
    assert json.loads(out.splitlines()[0])["text"] == "red\x1b[31m \x1b]0;owned\x07 \x9b2J\u202e", (
        "the value is as it was"
    )
    assert [json.loads(one)["host"] for one in out.splitlines()] == ["gpu1"] * 4


NO_LINES = [
    "log: ",
    "log: {",
    "log: 5",
    "log: []",
    "log: " + "[" * 100_000,
    'log: {"text": "x"}',
    'log: {"time": "soon", "source": "engine", "text": "x"}',
    'log: {"time": 1e300, "source": "engine", "text": "x"}',
    'log: {"time": NaN, "source": "engine", "text": "x"}',
    'log: {"time": 1, "source": 5, "text": ["x"]}',
    'log: {"time": 1, "source": "engine", "text": "x", "signature": "y"}',
    'log: {"note": {}}',
    'log: {"error": "x"}',
    'log: {"host": "gpu2", "time": 1796026288.5, "source": "engine", "text": "in the name of another"}',
]


@pytest.mark.parametrize(
    ("reported", "words"),
    [*(([one], ["--follow"]) for one in NO_LINES), (NO_LINES, []), (NO_LINES, ["--follow", "--json"])],
)
def test_a_server_that_writes_what_it_likes_breaks_nothing(ssh, reported, words):
    ssh.servers({ONE: says(*reported, line("after"), then="true"), OTHER: says(line("there"), then="true")})
    done = subprocess.run(
        [sys.executable, "-m", "dgctl", "logs", "inventory.ini", *words], capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr and "bug in dgctl" not in done.stderr, done.stderr
    assert "there" in done.stdout and "after" in done.stdout
    assert "gpu2  engine  in the name" not in done.stdout and done.returncode in (0, 7)


def flood():
    return says(then=f"yes {shlex.quote(line('flood'))}")


def test_a_flood_of_lines_ends(ssh, monkeypatch):
    monkeypatch.setattr(host_logs, "MOST_BYTES", 100_000)
    ssh.servers({ONE: flood(), OTHER: says(line("there"), then="true")})
    hosts = [Host(name, at, ["node"], {"ansible_user": "ops"}) for name, at in (("gpu1", ONE), ("gpu2", OTHER))]
    found = list(host_logs.read(hosts, {"ago": 1, "follow": False}))
    assert ("gpu1", {"note": host_logs.TOO_MUCH}) in found and 500 < len(found) < 5000
    assert [reported["text"] for name, reported in found if name == "gpu2"] == ["there"]


def test_who_reads_slowly_keeps_no_flood_here(ssh):
    ssh.servers({ONE: flood(), OTHER: says(then="true")})
    seen = Followed()
    seen.lines(1)
    time.sleep(2)
    before = memory_kib(seen.process.pid)
    time.sleep(5)
    after = memory_kib(seen.process.pid)
    seen.ended(signal.SIGINT)
    assert after - before < 25_000


def memory_kib(process):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[1])


def test_a_line_without_end_does_not_fill_this_machine(ssh):
    endless = "head -c 300000000 /dev/zero | tr '\\0' x"
    ssh.servers({ONE: says(line("before"), then=endless), OTHER: says(line("there"), then="true")})
    watched = "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True, text=True);"
    watched += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, done.stdout, done.stderr)"
    command = [sys.executable, "-m", "dgctl", "logs", "inventory.ini", "--follow"]
    reported = subprocess.run(
        [sys.executable, "-c", watched, *command], capture_output=True, text=True, timeout=120
    ).stdout
    kib, text = reported.split(" ", 1)
    assert int(kib) < 250_000 and "before" in text and "there" in text
