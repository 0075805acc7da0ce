"""A container that hangs is killed after a short wait, and never one that has requests.

What hangs is played by a socket that takes connections and never answers: so does the kernel for a process under SIGSTOP.
"""

import http.server
import json
import socket
import threading
import time

import pytest
from ansible.module_utils.deepgram import engines
from ansible.module_utils.deepgram import hung as deepgram_hung

BOTH = {"engine": {"running": True}, "api": {"running": True}}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(deepgram_hung, "ASK_S", 0.2)


@pytest.fixture
def hanging():
    """host:port of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nobody():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    return address


@pytest.fixture
def answers():
    """answers(text, status): host:port of somebody who always says this."""
    servers = []

    def start(text, status=200):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *words):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()


def urls(engine, api):
    return {"engine": f"http://{engine}/metrics", "api": f"http://{api}/v1/status"}


def status(streams):
    return json.dumps({"system_health": "Healthy", "active_batch_requests": 0, "active_stream_requests": streams})


def test_an_engine_that_hangs_is_killed_after_the_wait(hanging, answers):
    asked, started = urls(hanging, answers(status(0))), time.monotonic()
    assert deepgram_hung.hung(asked, ["engine", "api"], BOTH, 1) == ["engine"]
    assert 1 <= time.monotonic() - started < 5


def test_its_calls_keep_their_time(hanging, answers):
    assert deepgram_hung.hung(urls(hanging, answers(status(1))), ["engine", "api"], BOTH, 1) == []


@pytest.mark.parametrize(("active", "killed"), [(0, ["api"]), (3, [])])
def test_of_an_api_that_hangs_the_engine_knows_whether_it_has_requests(hanging, answers, active, killed):
    """engine_active_requests of the Engine's metrics: deepgram-facts.md."""
    page = f'engine_active_requests{{kind="batch"}} 0\nengine_active_requests{{kind="stream"}} {active}\n'
    assert deepgram_hung.hung(urls(answers(page), hanging), ["engine", "api"], BOTH, 1) == killed


def test_where_nobody_listens_nothing_is_waited_for(nobody, answers):
    started = time.monotonic()
    assert deepgram_hung.hung(urls(nobody, answers(status(1))), ["engine", "api"], BOTH, 60) == ["engine"]
    assert time.monotonic() - started < 5


def test_a_container_with_the_port_from_before_is_asked_there(nobody, answers):
    """Nobody listens yet where it is to, and calls are in it: it is stopped with patience."""
    before = int(answers(status(1)).rpartition(":")[2])
    there = {"api": {"running": True, "ports": {8080: before}}}
    assert deepgram_hung.hung({"api": f"http://{nobody}/v1/status"}, ["api"], there, 60) == []
    unknown = {"api": {"running": True, "ports": {9090: before}}}
    assert deepgram_hung.hung({"api": f"http://{nobody}/v1/status"}, ["api"], unknown, 60) == []


def test_an_error_is_an_answer(answers):
    busy = answers('{"err_msg": "no"}', 503)
    assert deepgram_hung.hung(urls(busy, busy), ["engine", "api"], BOTH, 1) == []


def test_without_a_wait_nobody_is_killed_for_being_slow(hanging):
    assert deepgram_hung.hung(urls(hanging, hanging), ["engine", "api"], BOTH, 0) == []


def test_one_slow_answer_is_no_hanging(monkeypatch, answers):
    reported = [(None, "timed out"), ("fine", "")]
    monkeypatch.setattr(deepgram_hung, "get_either", lambda url, timeout: reported.pop(0))
    assert deepgram_hung.hung({"engine": "http://x/metrics"}, ["engine"], {"engine": BOTH["engine"]}, 30) == []


@pytest.mark.parametrize("kind", ["docker", "podman"])
@pytest.mark.parametrize("act", ["restart", "drop", "leave"])
def test_whatever_stops_a_container_kills_it_first_if_it_hangs(monkeypatch, tmp_path, hanging, kind, act):
    """Also the API beside it, which is stopped for the Engine's sake."""
    done = []
    monkeypatch.setattr(engines, "run", lambda argv, **_: done.append(" ".join(argv)) or (0, "", ""))
    monkeypatch.setattr(engines, "inspect", lambda engine, name: {"running": True})
    monkeypatch.setattr(engines, "QUADLETS", str(tmp_path))
    monkeypatch.setattr(engines, "UNITS", str(tmp_path))
    monkeypatch.setattr(engines, "unread", lambda unit: False)
    for name in ("_forced",):
        monkeypatch.setattr(engines.Docker, name, lambda self, containers: set())
    params = {"files": {}, "urls": urls(hanging, hanging), "directory": str(tmp_path), "stop_timeout_s": 1800}
    runner = engines.ENGINES[kind]({**params, "hung_stop_s": 1}, False)
    {"restart": lambda: runner.restart({"engine"}, BOTH), "drop": lambda: runner.drop("engine"), "leave": runner.leave}[
        act
    ]()
    kills = {"docker": ("docker rm --force", "docker kill"), "podman": ("podman kill",)}[kind]
    killed = {
        name
        for name in ("engine", "api")
        for reported in done
        if reported.startswith(kills) and reported.endswith(name)
    }
    assert killed == ({"engine"} if act == "drop" else {"engine", "api"})
    stops = [
        number
        for number, reported in enumerate(done)
        if "stop" in reported or "restart" in reported or "down" in reported
    ]
    first = next(number for number, reported in enumerate(done) if reported.startswith(kills))
    assert not stops or first < stops[0]
