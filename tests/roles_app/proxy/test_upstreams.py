"""deepgram-upstreams: who serves, by what the servers say and what operators want."""

import contextlib
import http.server
import importlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import yaml
from ansible.module_utils.host import systemd, units

from tests.roles_app.conftest import ROOT, load

ROLE = ROOT / "roles/nginx_proxy"
FOLDER = ROLE / "files/upstreams"
MODULE = load("modules", "deepgram_upstreams")


def program():
    """The program's modules, which import each other by their short names: those stay free for others."""
    names = [path.stem for path in FOLDER.glob("*.py") if path.stem != "__main__"]
    sys.path.insert(0, str(FOLDER))
    try:
        return SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(FOLDER))
        for name in names:
            sys.modules.pop(name, None)


PROGRAM = program()
commands, files, health, members, nginx, settle = (
    PROGRAM.commands,
    PROGRAM.files,
    PROGRAM.health,
    PROGRAM.members,
    PROGRAM.nginx,
    PROGRAM.settle,
)


class Nginx:
    """Stands for NGINX: refuses a list that holds a word, and notes what it was reloaded with, and after how long."""

    def __init__(self, folder):
        self.list, self.refused, self.reloads, self.waits = folder / "kept/upstreams.conf", "", [], []
        self.closing, self.slept = folder / "run/closing", 0.0

    def refusal(self):
        return "[emerg] no" if self.refused and self.refused in self.list.read_text() else ""

    def reload(self, pid):
        assert self.closing.exists(), "answers would keep their connections"
        self.reloads.append(self.list.read_text())
        self.waits.append(round(self.slept))

    def sleep(self, seconds):
        assert self.closing.exists()
        self.slept += seconds


@pytest.fixture
def proxy(tmp_path, monkeypatch):
    """A proxy's files; `says` maps an address to the health that its server tells."""
    for name, value in (
        ("CONFIG", "config.json"),
        ("KEPT", "kept"),
        ("RUN", "run"),
        ("OVERFLOW", "kept/overflow.json"),
    ):
        monkeypatch.setattr(files, name, str(tmp_path / value))
    stand_in, says = Nginx(tmp_path), {}
    monkeypatch.setattr(nginx, "master", lambda: 1)
    monkeypatch.setattr(nginx, "refusal", stand_in.refusal)
    monkeypatch.setattr(nginx, "reload", stand_in.reload)
    monkeypatch.setattr(health, "ask", lambda address: (says.get(address, "Ready"), 0))
    monkeypatch.setattr(nginx, "clients", lambda port: 0)
    monkeypatch.setattr(nginx.time, "sleep", stand_in.sleep)
    monkeypatch.setattr(nginx.time, "monotonic", lambda: stand_in.slept)

    def configure(*nodes, **more):
        fields = ("name", "address", "profile", "region", "max_connections")
        document = {"nodes": [dict(zip(fields, node)) for node in nodes], **more}
        (tmp_path / "config.json").write_text(json.dumps(document))

    def tick():
        config = files.configuration()
        settle.settle(config, health.look_at(config["nodes"]))

    configure(("a", "192.0.2.1:8080", "stt", ""), ("b", "192.0.2.2:8080", "stt", ""))
    return SimpleNamespace(configure=configure, tick=tick, nginx=stand_in, says=says, folder=tmp_path)


def lines(proxy, profile="stt"):
    """Name -> the words of its server line in one upstream."""
    text = proxy.nginx.list.read_text().partition(f"upstream deepgram_{profile} {{")[2].partition("}")[0]
    return {line.partition("# ")[2]: line.partition(";")[0].split() for line in text.splitlines() if "server " in line}


def down(proxy, profile="stt"):
    return {name for name, words in lines(proxy, profile).items() if "down" in words}


def test_a_server_leaves_after_two_bad_looks_and_is_back_after_two_good_ones(proxy):
    proxy.tick()
    assert down(proxy) == set()
    proxy.says["192.0.2.1:8080"] = "Critical"
    proxy.tick()
    assert down(proxy) == set()
    proxy.tick()
    assert down(proxy) == {"a"}
    proxy.says.clear()
    proxy.tick()
    assert down(proxy) == {"a"}
    proxy.tick()
    assert down(proxy) == set() and len(proxy.nginx.reloads) == 3


def test_a_balancer_is_told_whether_anybody_serves(proxy):
    proxy.configure(("a", "192.0.2.1:80", "stt", "", 0), ("b", "192.0.2.2:80", "flux", "", 0))
    serving = proxy.folder / "run/serving"
    proxy.tick()
    assert serving.exists()
    commands.drain(["a"], "operator", "")
    assert serving.exists(), "b serves"
    proxy.says["192.0.2.2:80"] = "Critical"
    proxy.tick()
    proxy.tick()
    assert not serving.exists(), "one is drained, the other is down"
    commands.undrain(["a"])
    assert serving.exists()


def test_the_other_deployment_is_listed_at_the_address_that_its_name_led_to_last(proxy, monkeypatch):
    proxy.configure(
        ("a", "192.0.2.1:80", "stt", "", 0), overflow={"address": "cloud.example.com:443", "max_connections": 5}
    )
    found = {"cloud.example.com": [(0, 0, 0, "", ("192.0.2.99", 443))]}

    def named(host, port, **_):
        if host == "cloud.example.com" and not found:
            raise OSError("no such name")
        return found.get(host, [(0, 0, 0, "", (host, port))])

    monkeypatch.setattr(health.socket, "getaddrinfo", named)

    def line():
        commands.render()
        return (
            proxy.nginx.list.read_text()
            .partition("upstream deepgram_overflow {")[2]
            .partition("}")[0]
            .splitlines()[2]
            .strip()
        )

    retained = found.pop("cloud.example.com")
    assert line() == "server 127.0.0.1:9 down;  # cloud.example.com:443", "NGINX starts without DNS too"
    found["cloud.example.com"] = retained
    assert line() == "server 192.0.2.99:443 max_conns=5 max_fails=0;  # cloud.example.com:443"
    found.clear()
    assert line() == "server 192.0.2.99:443 max_conns=5 max_fails=0;  # cloud.example.com:443"


def test_a_stop_that_comes_as_a_file_is_put_in_place_gets_through(tmp_path, monkeypatch):
    replace = files.os.replace

    def stopped(old, new):
        replace(old, new)
        raise SystemExit(143)

    monkeypatch.setattr(files.os, "replace", stopped)
    with pytest.raises(SystemExit):
        files.write(str(tmp_path / "state.json"), "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_nginx_is_left_alone_while_nothing_changes(proxy):
    for _ in range(5):
        proxy.tick()
    assert len(proxy.nginx.reloads) == 1


def test_a_server_that_answers_drop_by_drop_holds_nobody_up(monkeypatch):
    """Each drop came within the limit of a read, and one such server kept all others unasked."""
    monkeypatch.setattr(health, "TIMEOUT_S", 0.4)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            stream, _ = server.accept()
            with contextlib.suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100:
                    stream.sendall(bytes([byte]))
                    over.wait(0.1)

        threading.Thread(target=drip, daemon=True).start()
        started = time.monotonic()
        reported, active = health.ask(f"127.0.0.1:{server.getsockname()[1]}")
        assert reported.startswith("no answer: ") and active is None
        assert time.monotonic() - started < 1.5
        over.set()


def test_a_name_that_dns_is_silent_about_holds_nobody_up(proxy, monkeypatch):
    monkeypatch.setattr(health, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(health, "SPARE_S", 0.2)
    waiting, real = threading.Event(), socket.getaddrinfo

    def silent(host, *words, **more):
        if host == "slow.test":
            waiting.wait(10)
            raise OSError
        return real(host, *words, **more)

    monkeypatch.setattr(health.socket, "getaddrinfo", silent)
    started = time.monotonic()
    found = health.look_at(
        [{"name": name, "address": f"{host}:1"} for name, host in (("a", "slow.test"), ("b", "127.0.0.1"))]
    )
    took = time.monotonic() - started
    waiting.set()
    assert took < 2 and found["a"]["health"].endswith("takes too long") and found["b"]["address"] == "127.0.0.1:1"


@pytest.mark.parametrize("health", ["Initializing", "Critical", "no answer: x", "HTTP 200"])
def test_a_new_server_that_cannot_serve_gets_nothing_before_it_can(proxy, health):
    proxy.says["192.0.2.1:8080"] = health
    proxy.tick()
    assert down(proxy) == {"a"}


def test_where_all_are_down_the_check_is_not_believed_but_drained_ones_stay_out(proxy):
    proxy.says.update({"192.0.2.1:8080": "Critical", "192.0.2.2:8080": "Critical"})
    proxy.tick()
    assert down(proxy) == set()
    commands.drain(["a"], "operator", "")
    assert down(proxy) == {"a"}
    commands.drain(["b"], "operator", "")
    assert down(proxy) == {"a", "b"}


def test_a_flapping_server_must_prove_itself_for_longer_each_time(proxy):
    proxy.tick()
    looks = []
    for _ in range(4):
        proxy.says["192.0.2.1:8080"] = "Critical"
        proxy.tick()
        proxy.tick()
        proxy.says.clear()
        for number in range(1, 100):
            proxy.tick()
            if not down(proxy):
                looks.append(number)
                break
    assert looks == [2, 4, 8, 16]


def test_undrained_serves_at_once_whatever_was_before(proxy):
    proxy.tick()
    commands.drain(["a"], "rollout", "upgrade")
    proxy.says["192.0.2.1:8080"] = "no answer: restarting"
    proxy.tick()
    proxy.tick()
    assert members.report()["a"]["state"] == "drained" and members.report()["a"]["note"] == "upgrade"
    proxy.says.clear()
    assert commands.undrain(["a"]) is True and commands.undrain(["a"]) is False
    assert down(proxy) == set() and members.report()["a"]["state"] == "up"


def test_undrain_asks_those_that_it_undrains_and_those_that_nobody_has_asked_yet(proxy, monkeypatch):
    proxy.tick()
    commands.drain(["a"], "operator", "")
    asked = []
    monkeypatch.setattr(health, "ask", lambda address: asked.append(address) or ("Ready", 0))
    commands.undrain(["a"])
    assert asked == ["192.0.2.1:8080"]
    proxy.configure(*((name, f"192.0.2.{n}:8080", "stt", "") for n, name in enumerate("abc", 1)))
    asked.clear()
    commands.undrain(["a"])
    assert sorted(asked) == ["192.0.2.1:8080", "192.0.2.3:8080"]


def test_an_operators_mark_is_not_replaced(proxy):
    assert commands.drain(["a"], "operator", "disk") and not commands.drain(["a"], "rollout", "")
    assert members.report()["a"]["reason"] == "operator"
    assert commands.drain(["b"], "rollout", "") and commands.drain(["b"], "failed", "why")
    assert members.report()["b"]["reason"] == "failed"


def test_a_mark_of_an_unknown_server_is_kept_and_counts_when_it_comes(proxy):
    commands.drain(["c"], "rollout", "")
    assert members.report()["c"] | {"since": None} == {
        **dict.fromkeys(("note", "since", "health", "active", "address")),
        "state": "drained",
        "reason": "rollout",
        "note": "",
        "known": False,
    }
    proxy.configure(("a", "192.0.2.1:8080", "stt", ""), ("c", "192.0.2.3:8080", "stt", ""))
    proxy.tick()
    assert down(proxy) == {"c"} and members.report()["c"]["known"]


def test_own_region_first_and_everybody_where_it_has_none(proxy):
    proxy.configure(
        ("a", "192.0.2.1:1", "stt", "eu", 7),
        ("b", "192.0.2.2:1", "stt", "us"),
        ("c", "192.0.2.3:1", "flux", "us", 0),
        region="eu",
    )
    proxy.tick()
    assert lines(proxy)["a"] == ["server", "192.0.2.1:1", "max_conns=7", "max_fails=0"]
    assert "max_conns" not in " ".join(lines(proxy)["b"] + lines(proxy, "flux")["c"])
    assert lines(proxy)["b"][-1] == "backup" and "backup" not in lines(proxy, "flux")["c"]
    proxy.says["192.0.2.1:1"] = "Critical"
    proxy.tick()
    proxy.tick()
    assert down(proxy) == {"a"}, "the other region's server is not all the choice there is"


def test_a_refused_list_leaves_the_old_one_and_is_tried_again(proxy):
    proxy.tick()
    before = proxy.nginx.list.read_text()
    proxy.nginx.refused = "down;  # a"
    with pytest.raises(files.Refused, match="nginx refuses its configuration"):
        commands.drain(["a"], "operator", "")
    assert proxy.nginx.list.read_text() == before and len(proxy.nginx.reloads) == 1
    proxy.nginx.refused = ""
    proxy.tick()
    assert down(proxy) == {"a"} and len(proxy.nginx.reloads) == 2


def test_killed_between_writing_and_reloading_it_reloads_next_time(proxy, monkeypatch):
    proxy.tick()

    def killed(pid):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(nginx, "reload", killed)
        commands.drain(["a"], "operator", "")
    assert len(proxy.nginx.reloads) == 1
    proxy.tick()
    assert len(proxy.nginx.reloads) == 2 and "down;  # a" in proxy.nginx.reloads[-1]


@pytest.mark.parametrize(("callers", "seconds"), [(0, 0), (1, 9)])
def test_answers_close_their_connections_for_a_while_before_a_reload(proxy, monkeypatch, callers, seconds):
    nodes = [("a", "192.0.2.1:8080", "stt", ""), ("b", "192.0.2.2:8080", "stt", "")]
    proxy.configure(*nodes, closing_s=9, port=8443)
    monkeypatch.setattr(nginx, "clients", lambda port: callers if port == 8443 else pytest.fail())
    commands.drain(["a"], "operator", "")
    assert proxy.nginx.waits == [seconds] and not proxy.nginx.closing.exists()
    commands.reload()
    assert proxy.nginx.waits == [seconds, 2 * seconds] and not proxy.nginx.closing.exists()


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_is_no_file_s_is_refused(proxy, name):
    with pytest.raises(PROGRAM.files.Refused, match="is no server's name"):
        commands.drain([name], "operator", "")
    assert not proxy.nginx.reloads


@pytest.mark.parametrize(("took", "waits"), [(0.5, 1.5), (7, 0.1)])
def test_a_round_begins_every_two_seconds_however_long_it_takes(monkeypatch, capsys, took, waits):
    clock = iter([0.0, took])
    slept = []
    monkeypatch.setattr(PROGRAM.watch.files, "configuration", lambda: {}["nodes"])
    monkeypatch.setattr(
        PROGRAM.watch,
        "time",
        SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda s: slept.append(s) or sys.exit()),
    )
    with pytest.raises(SystemExit):
        PROGRAM.watch.watch()
    assert slept == [pytest.approx(waits)] and capsys.readouterr().err == "'nodes'\n"


def test_what_fell_is_not_waited_for_so_long(proxy, monkeypatch):
    monkeypatch.setattr(nginx, "clients", lambda port: 1)
    monkeypatch.setattr(PROGRAM.watch, "settle", lambda *given: calls.append(given[2:]) or sys.exit())
    calls = []
    with pytest.raises(SystemExit):
        PROGRAM.watch.watch()
    assert calls == [(PROGRAM.watch.FALL_CLOSING_S,)]
    with nginx.closing({"closing_s": 9}, *calls[0]):
        assert proxy.nginx.slept == pytest.approx(1.5, abs=0.11)


def test_a_reload_that_fails_or_is_killed_leaves_no_connection_closing(proxy, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(files.Refused):
        patch.setattr(nginx, "reload", lambda pid: (_ for _ in ()).throw(files.Refused("no")))
        commands.drain(["a"], "operator", "")
    assert not proxy.nginx.closing.exists()
    proxy.nginx.closing.touch()  # as SIGKILL leaves it
    proxy.tick()
    proxy.nginx.closing.touch()
    with settle.alone():
        assert not proxy.nginx.closing.exists(), "whoever comes next takes it away"


def test_callers_are_counted_by_port_and_not_who_only_listens(tmp_path, monkeypatch):
    monkeypatch.setattr(nginx, "PROC", str(tmp_path))
    (tmp_path / "net").mkdir()
    row = "   0: 0100007F:{port:04X} 0100007F:9C40 {state} 00000000:00000000 00:00000000 00000000 0 0 1 1"
    rows = [row.format(port=port, state=state) for port, state in ((443, "0A"), (443, "01"), (443, "06"), (8443, "01"))]
    (tmp_path / "net/tcp").write_text("\n".join(["  sl  local_address rem_address st", *rows]) + "\n")
    assert (nginx.clients(443), nginx.clients(8443), nginx.clients(80)) == (1, 1, 0)


def test_a_name_that_does_not_resolve_breaks_nobody_else(proxy):
    proxy.configure(("a", "no-such-name.invalid:8080", "stt", ""), ("b", "192.0.2.2:8080", "stt", ""))
    proxy.tick()
    assert down(proxy) == {"a"} and "invalid" not in proxy.nginx.list.read_text()


def test_a_changed_address_is_not_the_old_one(proxy):
    proxy.tick()
    proxy.configure(("a", "192.0.2.9:8080", "stt", ""))
    commands.render()
    assert lines(proxy)["a"][1] == "192.0.2.9:8080"


@pytest.mark.parametrize(
    ("status", "body", "reported", "active"),
    [
        (200, {"system_health": "Healthy", "active_batch_requests": 2, "active_stream_requests": 3}, "Healthy", 5),
        (200, {"system_health": "Critical"}, "Critical", 0),
        (503, {"system_health": "Initializing"}, "Initializing", 0),
        (500, {}, "HTTP 500", 0),
        (200, [], "no answer: not a status", None),
    ],
)
def test_the_body_counts_and_not_the_code(status, body, reported, active):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *words):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert health.ask(f"127.0.0.1:{server.server_port}") == (reported, active)
        server.shutdown()
    assert health.ask(f"127.0.0.1:{server.server_port}")[0].startswith("no answer: ")


def test_a_reload_ends_when_the_old_workers_take_nothing_more(tmp_path, monkeypatch):
    monkeypatch.setattr(nginx, "PROC", str(tmp_path))
    (tmp_path / "7/task/7").mkdir(parents=True)

    def worker(pid, words):
        (tmp_path / str(pid)).mkdir(exist_ok=True)
        (tmp_path / str(pid) / "cmdline").write_text(f"nginx: {words}\0")

    def workers(*pids):
        (tmp_path / "7/task/7/children").write_text(" ".join(map(str, pids)))

    worker(8, "worker process")
    workers(8)
    moments = iter([lambda: None, lambda: (worker(9, "worker process"), workers(8, 9))])
    done = lambda: worker(8, "worker process is shutting down")  # noqa: E731
    monkeypatch.setattr(nginx.os, "kill", lambda pid, number: None)
    monkeypatch.setattr(nginx.time, "sleep", lambda seconds: next(moments, done)())
    nginx.reload(7)
    assert nginx.accepting(7) == {"9"}
    monkeypatch.setattr(nginx, "RELOAD_S", 0)
    with pytest.raises(files.Refused):
        nginx.reload(7)


def test_the_module_keeps_marks_where_the_program_is_not_there_yet(tmp_path, monkeypatch):
    for name in ("PROGRAM", "CONFIG", "KEPT"):
        monkeypatch.setattr(MODULE, name, str(tmp_path / name))

    def run(state, *names, check_mode=False, reason="rollout"):
        params = {"state": state, "names": list(names), "reason": reason, "note": "why"}
        return MODULE.work(SimpleNamespace(params=params, check_mode=check_mode))

    assert run("drained", "a/b", check_mode=True)["changed"] and run("report")["members"] == {}
    assert run("drained", "a/b")["changed"] and not run("drained", "a/b")["changed"]
    monkeypatch.setattr(files, "KEPT", str(tmp_path / "KEPT"))
    assert PROGRAM.marks.read()["a/b"]["note"] == "why", "the program reads what the module wrote"
    assert run("report")["members"]["a/b"]["state"] == "drained"
    assert run("undrained", "a/b")["changed"] and not run("undrained", "a/b")["changed"]


class Installed:
    """A proxy with the program, which answers from `members`; what it was told to do is in `did`."""

    def __init__(self, tmp_path, monkeypatch):
        self.members = {"a": {"state": "up"}, "b": {"state": "drained"}}
        self.did, self.status, self.changed = [], 0, True
        for name in ("PROGRAM", "CONFIG"):
            (tmp_path / name).touch()
            monkeypatch.setattr(MODULE, name, str(tmp_path / name))
        monkeypatch.setattr(MODULE, "KEPT", str(tmp_path / "kept"))
        monkeypatch.setattr(MODULE, "run", self.run)

    def run(self, words, timeout=60):
        if self.status:
            return self.status, "", "deepgram-upstreams: nginx refuses its configuration\n"
        if words[1] != "report":
            self.did.append(words[1:])
        answer = {"members": self.members}
        return 0, json.dumps(answer if words[1] == "report" else {**answer, "changed": self.changed}), ""

    def work(self, state, *names, check=False):
        params = {"state": state, "names": list(names), "reason": "rollout", "note": "why"}
        return MODULE.work(SimpleNamespace(params=params, check_mode=check, fail_json=self.fail_json))

    def fail_json(self, **reported):
        raise AssertionError(reported["msg"])


def test_the_module_has_the_program_drain_and_undrain(tmp_path, monkeypatch):
    proxy = Installed(tmp_path, monkeypatch)
    assert proxy.work("drained", "a", "-x") == {"members": proxy.members, "changed": True}
    assert proxy.work("undrained", "b")["changed"]
    assert proxy.did == [["drain", "--reason=rollout", "--note=why", "--", "a", "-x"], ["undrain", "--", "b"]]
    assert not (tmp_path / "kept").exists(), "the program keeps the marks"
    proxy.changed = False
    assert not proxy.work("drained", "b")["changed"]


@pytest.mark.parametrize(
    ("state", "names", "changes"),
    [
        ("report", (), False),
        ("report", ("a",), False),
        ("drained", ("a",), True),
        ("drained", ("a", "b"), True),
        ("drained", ("b",), False),
        ("undrained", ("a",), False),
        ("undrained", ("a", "b"), True),
    ],
)
def test_a_report_and_check_mode_only_ask(tmp_path, monkeypatch, state, names, changes):
    proxy = Installed(tmp_path, monkeypatch)
    assert proxy.work(state, *names, check=True) == {"changed": changes, "members": proxy.members}
    assert proxy.did == []


def test_nobody_is_drained_for_no_name(tmp_path, monkeypatch):
    proxy = Installed(tmp_path, monkeypatch)
    for state in ("drained", "undrained"):
        assert proxy.work(state) == {"changed": False, "members": proxy.members}
    assert proxy.did == []


def test_a_program_that_fails_is_no_drain(tmp_path, monkeypatch):
    proxy = Installed(tmp_path, monkeypatch)
    proxy.status = 1
    with pytest.raises(AssertionError, match="nginx refuses its configuration"):
        proxy.work("drained", "a")


UNIT_PROPERTIES = "ActiveState={active}\nUnitFileState={enabled}\nMainPID=7\nNeedDaemonReload=no\n"


class Watched(Installed):
    """The same with its unit: `older` says that the unit's files were written after it was started."""

    def __init__(self, tmp_path, monkeypatch, enabled="enabled", active="active", older=False):
        super().__init__(tmp_path, monkeypatch)
        self.state, self.refuses, self.stays = {"enabled": enabled, "active": active}, "", True
        monkeypatch.setattr(systemd, "run", self.run)
        monkeypatch.setattr(units, "started", lambda pid: 100.0 if pid == "7" else pytest.fail(pid))
        monkeypatch.setattr(units, "written_after", lambda paths, moment: older and (paths, moment) == (["f"], 100.0))
        monkeypatch.setattr(MODULE.time, "sleep", lambda seconds: None)

    def run(self, words, timeout=60):
        if words[0] == "journalctl":
            return 0, "", ""
        if words[0] != "systemctl":
            return super().run(words, timeout)
        if words[1] == "show":
            return 0, UNIT_PROPERTIES.format(**self.state), ""
        self.did.append(words[1])
        if words[1] == self.refuses:
            return 1, "", "Failed.\n"
        if words[1] == "restart" and self.stays:
            self.state["active"] = "active"
        return 0, "", ""

    def running(self, check=False):
        return MODULE.running(SimpleNamespace(params={"reads": ["f"]}, check_mode=check, fail_json=self.fail_json))


STEPS = ["daemon-reload", "reset-failed", "enable", "restart"]


@pytest.mark.parametrize(
    ("state", "due"),
    [({}, False), ({"enabled": "disabled"}, True), ({"active": "failed"}, True), ({"older": True}, True)],
)
def test_the_unit_is_started_where_it_does_not_run_as_its_files_say(tmp_path, monkeypatch, state, due):
    proxy = Watched(tmp_path, monkeypatch, **state)
    proxy.changed = False
    assert proxy.running(check=True) == {"changed": due, "members": {}} and proxy.did == []
    assert proxy.running() == {"changed": due, "members": proxy.members}
    assert proxy.did == [["render"], *(STEPS if due else [])]
    proxy.changed = True
    assert proxy.running()["changed"], "the list was not up to date"


def test_check_mode_before_the_program_is_there(tmp_path, monkeypatch):
    proxy = Watched(tmp_path, monkeypatch)
    (tmp_path / "PROGRAM").unlink()
    assert proxy.running(check=True)["changed"] and proxy.did == []


@pytest.mark.parametrize(
    ("refuses", "stays", "words"),
    [
        ("restart", True, "systemctl restart deepgram-upstreams.service: Failed"),
        ("enable", True, "systemctl enable deepgram-upstreams.service: Failed"),
        ("", False, "deepgram-upstreams.service does not stay up"),
    ],
)
def test_a_unit_that_does_not_run_is_no_success(tmp_path, monkeypatch, refuses, stays, words):
    proxy = Watched(tmp_path, monkeypatch, active="failed")
    proxy.refuses, proxy.stays = refuses, stays
    with pytest.raises(AssertionError, match=words):
        proxy.running()


def test_a_unit_that_never_failed_needs_no_reset(tmp_path, monkeypatch):
    proxy = Watched(tmp_path, monkeypatch, active="inactive")
    proxy.refuses = "reset-failed"
    assert proxy.running()["changed"] and proxy.did[1:] == STEPS


def test_the_last_address_of_a_name_outlives_a_boot_without_dns(proxy, monkeypatch):
    """NGINX's list holds numbers: while a name does not resolve, its server keeps the address that it had."""
    known = {"gpu1.test": "192.0.2.7"}

    def resolver(host, port, type):
        if host not in known and not host.startswith("192."):
            raise OSError("no DNS")
        return [(0, 0, 0, "", (known.get(host, host), port))]

    monkeypatch.setattr(health.socket, "getaddrinfo", resolver)
    proxy.configure(("a", "gpu1.test:8080", "stt", ""), ("b", "192.0.2.2:8080", "stt", ""))
    proxy.tick()
    saved = json.loads((proxy.folder / "kept/addresses.json").read_text())
    assert saved == {"a": "192.0.2.7:8080", "b": "192.0.2.2:8080"}
    shutil.rmtree(proxy.folder / "run")  # /run is empty after a boot
    known.clear()
    proxy.tick()
    assert lines(proxy)["a"][1] == "192.0.2.7:8080" and down(proxy) == set()
    known["gpu1.test"] = "192.0.2.8"
    proxy.tick()
    assert lines(proxy)["a"][1] == "192.0.2.8:8080"
    assert json.loads((proxy.folder / "kept/addresses.json").read_text())["a"] == "192.0.2.8:8080"


@pytest.mark.parametrize("retained_by", ["the program", "the module"])
def test_a_mark_says_since_when_a_server_is_drained_whatever_the_reason_becomes(proxy, monkeypatch, retained_by):
    marks = PROGRAM.marks if retained_by == "the program" else MODULE.Marks(files.KEPT)
    moments = iter([60, 120, 180])
    monkeypatch.setattr(time, "gmtime", lambda: time.struct_time((2026, 11, 29, 0, next(moments) // 60, 0, 6, 333, 0)))
    assert marks.put("a", "rollout", "upgrade")
    assert PROGRAM.marks.read()["a"] == {"reason": "rollout", "note": "upgrade", "since": "2026-11-29T00:01:00Z"}
    assert marks.put("a", "failed", "verify") and not marks.put("a", "failed", "verify")
    assert PROGRAM.marks.read()["a"] == {"reason": "failed", "note": "verify", "since": "2026-11-29T00:01:00Z"}


def test_a_server_that_takes_itself_out_goes_at_once_and_comes_back_after_two_looks(proxy):
    proxy.configure(("a", "192.0.2.1:8080", "stt", ""), ("b", "192.0.2.2:8080", "stt", ""))
    config, reported = files.configuration(), {"a": ""}
    for node in config["nodes"]:
        node["watch"] = "192.0.2.1:9810"

    def tick():
        settle.settle(config, health.look_at(config["nodes"], lambda node: reported.get(node["name"], "")))
        return down(proxy)

    assert tick() == set()
    reported["a"] = "the Engine hangs"
    assert tick() == {"a"}
    assert members.report()["a"]["health"] == "out by itself: the Engine hangs"
    reported["a"] = ""
    assert [tick(), tick()] == [{"a"}, set()]
    reported.update(a="x", b="y")
    assert tick() == set(), "where nobody serves, nobody is believed"


def test_a_watchdog_is_told_how_many_others_serve():
    nodes = [{"name": name, "profile": "stt"} for name in "abc"] + [{"name": "f", "profile": "flux"}]
    members_ = {"a": {"up": True}, "b": {"up": False}}
    reported = PROGRAM.watchdog.reported({"nodes": nodes}, members_, {"c": {}})
    assert reported == {"a": ("up", 0, 2), "b": ("down", 1, 2), "c": ("drained", 1, 2), "f": ("up", 0, 0)}


def test_of_several_apis_of_a_server_the_loneliest_counts():
    nodes = [
        {"name": "a", "id": "a/stt", "profile": "stt"}, {"name": "a", "id": "a/flux", "profile": "flux"},
        {"name": "b", "id": "b/stt", "profile": "stt"},
    ]  # fmt: skip
    assert PROGRAM.watchdog.reported({"nodes": nodes}, {}, {})["a"] == ("up", 0, 0)
    assert PROGRAM.watchdog.reported({"nodes": nodes}, {"a/flux": {"up": False}}, {})["b"] == ("up", 0, 1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b'{"out": true, "reason": "Xid 79"}', "Xid 79"), (b'{"out": true}', "no reason"), (b'{"out": false}', ""),
        (b'{"out": "yes"}', ""), (b"[]", ""), (b"torn {", ""), (b"", ""),
    ],
)  # fmt: skip
def test_what_a_watchdog_says(answer, reason):
    heard = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append((self.path, self.headers["X-Deepgram-State"], self.headers["X-Deepgram-Others"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *words):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        node = {"name": "a", "watch": f"127.0.0.1:{server.server_port}"}
        assert PROGRAM.watchdog.out(node, ("up", 1, 2)) == reason
    assert heard == [("/watch", "up", "1/2")]
    assert PROGRAM.watchdog.out(node) == "", "where nobody answers, the API alone is believed"
    assert PROGRAM.watchdog.out({"name": "a"}) == ""


def test_the_role_brings_each_file_of_the_program():
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    brought = [entry["path"].rpartition("/")[2] for entry in variables["_nginx_proxy_program_files"]]
    assert [name for name in brought if name.endswith(".py")] == sorted(path.name for path in FOLDER.glob("*.py"))
    launcher = (ROLE / "files/deepgram-upstreams").read_text()
    assert variables["_nginx_proxy_program_folder"] in launcher and variables["_nginx_proxy_program"] == MODULE.PROGRAM


def test_the_program_is_started_as_a_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-B", str(FOLDER), "render"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1 and done.stderr.startswith("deepgram-upstreams: /etc/nginx/deepgram/upstreams.json is")
