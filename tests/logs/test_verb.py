"""`dgctl logs`: lines of many servers by time, as text, as a document and as they come; who cannot be asked is named."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path

import pytest

from dgctl import content
from dgctl.base import moments
from dgctl.base.errors import Problem
from dgctl.content import bundle
from dgctl.deployment.deployment import Host
from dgctl.run import host_logs
from dgctl.run.session import main
from dgctl.verbs import logs
from tests.unit.called import called
from tests.unit.conftest import *  # noqa: F403

pytestmark = pytest.mark.usefixtures("here")

TEXT = "2026-11-30T08:11:28.500123Z  INFO loading\x1b]0;owned\x07"
FIRST = {"time": 1796026288.5, "source": "engine", "text": TEXT, "host": "b"}
LATER = {"time": 1796026289.0, "source": "kernel", "text": "NVRM: Xid 79", "host": "a",
         "signature": "Xid 79", "meaning": "the GPU fell off the bus", "fix": "drain the server"}  # fmt: skip
FULL = "512 worker_connections are not enough"
GONE = Problem("nothing listens on the SSH port", "b", fix="start sshd")


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch):
    """say(lines or Problems): what servers say. Returns what they are asked."""
    asked: list[tuple[list[str], dict]] = []

    def set_(*lines) -> list[tuple[list[str], dict]]:
        def read(hosts, request):
            asked.append(([host.name for host in hosts], request))
            for line in lines:
                if isinstance(line, (Problem, KeyboardInterrupt)):
                    if isinstance(line, KeyboardInterrupt):
                        raise line
                    yield line.where, line
                else:
                    yield line["host"], {key: value for key, value in line.items() if key != "host"}

        monkeypatch.setattr(host_logs, "read", read)
        return asked

    return set_


def run(capsys: pytest.CaptureFixture[str], *hosts: str, **options: object) -> tuple[int, str, str]:
    code = main(called("logs", Path("inventory.ini"), hosts=hosts, **options), logs.logs)
    reported = capsys.readouterr()
    return code, reported.out, reported.err


def test_lines_by_time_and_nothing_that_a_terminal_obeys(capsys, say) -> None:
    say(LATER, FIRST, {"host": "a", "note": "engine: the last 5000 lines alone"})
    code, out, _ = run(capsys, explain=True)
    lines = out.splitlines()
    assert code == 0 and "\x1b" not in out and "\x07" not in out
    assert lines[0] == "2026-11-30 08:11:28.500  b  engine  INFO loading\\x1b]0;owned\\x07"
    assert lines[1] == "2026-11-30 08:11:29.000  a  kernel  NVRM: Xid 79"
    assert lines[2:4] == ["    = Xid 79: the GPU fell off the bus", "    fix: drain the server"]
    assert lines[4] == "note: a: engine: the last 5000 lines alone"
    assert "2 lines; known: Xid 79 (1)" in out


def test_the_document(capsys, say) -> None:
    say(LATER, FIRST)
    code, out, _ = run(capsys, as_json=True)
    document = json.loads(out)
    assert code == 0 and document["command"] == "logs" and document["lines"] == [FIRST, LATER]
    assert list(document["hosts"]) == ["a", "b"]
    say()
    assert json.loads(run(capsys, as_json=True)[1])["lines"] == []


@pytest.mark.parametrize(
    ("since", "asked"),
    [("10m", {"ago": 600}), ("2h", {"ago": 7200}), ("3d", {"ago": 259200}), ("2026-11-30T08:11:28", {"at": 1796026288.0}),
     ("2026-11-30T09:11:28+01:00", {"at": 1796026288.0})],
)  # fmt: skip
def test_who_is_asked_and_since_when(capsys, say, since: str, asked: dict[str, float]) -> None:
    heard = say()
    run(capsys, "b", since=since, explain=True)
    assert heard == [(["b"], {**asked, "follow": False, "explain": True})]


@pytest.mark.parametrize("text", ["", "soon", "10", "-1h", "2026-13-01"])
def test_a_time_that_is_none(text: str, dgctl) -> None:
    with pytest.raises(ValueError, match="is no time: write 30s"):
        moments.back(text)
    done = dgctl("logs", "inventory.ini", f"--since={text}")
    assert done.returncode == 2 and "is no time" in done.stderr


def test_a_server_that_is_not_in_the_inventory(capsys, say) -> None:
    say()
    code, _, err = run(capsys, "bb")
    assert code == 2 and "the inventory has no such server" in err and "did you mean b?" in err


def test_one_out_of_reach_is_named_and_the_others_are_shown(capsys, say) -> None:
    say(GONE, LATER)
    code, out, err = run(capsys)
    assert code == 7 and "NVRM: Xid 79" in out and "nothing listens on the SSH port" in err
    document = json.loads(run(capsys, as_json=True)[1])
    assert document["hosts"]["b"]["state"] == "unreachable" and document["exit_code"] == 7


def test_a_secret_of_the_deployment_is_masked(capsys, say, here: Path) -> None:
    write(here / "host_vars/a.yml", "deepgram_api_key: 0123456789abcdef0123\n")  # noqa: F405
    say({**LATER, "text": "sent 0123456789abcdef0123"})
    assert "0123456789abcdef0123" not in run(capsys)[1]


def test_following_prints_lines_as_they_come_until_ctrl_c(capsys, say) -> None:
    say(FIRST, GONE, LATER, KeyboardInterrupt())
    code, out, err = run(capsys, follow=True)
    assert code == 7 and out.splitlines()[1].endswith("NVRM: Xid 79") and "note: b: nothing listens" in err
    say(FIRST, LATER, KeyboardInterrupt())
    code, out, _ = run(capsys, follow=True, as_json=True)
    assert code == 0 and [json.loads(line) for line in out.splitlines()] == [
        {"host": "b", **FIRST},
        {"host": "a", **LATER},
    ]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_pipe_gets_each_line_at_once(monkeypatch: pytest.MonkeyPatch, say, as_json: bool) -> None:
    sent: list[str] = []

    class Pipe(io.StringIO):
        def flush(self) -> None:
            sent.append(self.getvalue())

    say(FIRST, LATER, KeyboardInterrupt())
    monkeypatch.setattr("sys.stdout", Pipe())
    main(called("logs", Path("inventory.ini"), follow=True, as_json=as_json), logs.logs)
    assert any("loading" in text and "Xid" not in text for text in sent), "or it waits in a buffer for the next 8 KiB"


# The sessions themselves, on this machine.


def host(name: str, **variables: object) -> Host:
    local = {"ansible_connection": "local", "ansible_become_exe": "env"}
    return Host(name, "127.0.0.1", ["node"], local | variables)


def test_lines_come_while_the_server_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import json,time\nprint('motd')\nprint('log: '+json.dumps({'note': _request}), flush=True)\ntime.sleep(60)\n"
    )
    packed = bundle.packed(program)
    monkeypatch.setattr(bundle, "program", lambda folder, entry: packed)
    started, found = time.monotonic(), host_logs.read([host("x")], {"ago": 1, "follow": True})
    assert next(found) == ("x", {"note": json.dumps({"ago": 1, "follow": True})})
    found.close()
    assert time.monotonic() - started < 30


def test_the_real_program_follows_a_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """NGINX's error log, where nothing else is to be read; the file is made only while it is watched."""
    log = tmp_path / "error.log"
    swap = f"import ansible.module_utils.logs.sources as _sources\n_sources.NGINX_LOGS = ({str(log)!r},)\n"
    program = bundle.sources(content.utilities(), {host_logs.ENTRY}) + swap + bundle.call(host_logs.ENTRY)
    packed = bundle.packed(program)
    monkeypatch.setattr(bundle, "program", lambda folder, entry: packed)
    found = host_logs.read([host("x")], {"ago": 3600, "follow": True, "explain": True})
    written = threading.Timer(4, lambda: log.write_text(f"{time.strftime('%Y/%m/%d %H:%M:%S')} [alert] 1#1: {FULL}\n"))
    written.start()
    reported = next(line for _, line in found if line.get("source") == "nginx")
    found.close()
    assert (
        reported["text"].endswith(FULL)
        and reported["signature"] == "no room in NGINX"
        and abs(reported["time"] - time.time()) < 60
    )


def test_a_program_that_breaks_and_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "program", lambda folder, entry: bundle.packed("1/0"))
    hosts = [host("x"), host("gone", ansible_connection="ssh", ansible_port=1, ansible_user="root")]
    found = dict(host_logs.read(hosts, {"ago": 1, "follow": False}))
    assert "ZeroDivisionError" in found["x"].value and found["gone"].what == "nothing listens on the SSH port"


def test_this_machine_can_be_read() -> None:
    """The real program: whatever is here, nothing breaks."""
    found = list(host_logs.read([host("x")], {"ago": 60, "follow": False, "explain": True}))
    assert not [reported for _, reported in found if isinstance(reported, Problem)]
