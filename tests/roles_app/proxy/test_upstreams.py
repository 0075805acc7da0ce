"""deepgram-upstreams: who serves, by what the servers say and what operators want."""

import contextlib
import http.server
import json
import shutil
import socket
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from tests.roles_app.conftest import load

from .upstreams import PROGRAM, down, lines

MODULE = load("modules", "deepgram_upstreams")

commands, files, health, members, nginx, settle = (
    PROGRAM.commands,
    PROGRAM.files,
    PROGRAM.health,
    PROGRAM.members,
    PROGRAM.nginx,
    PROGRAM.settle,
)


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
