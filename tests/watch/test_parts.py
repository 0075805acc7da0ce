"""The watchdog's parts: what it sees, what proxies tell it, its proof, its marks and locks, and what is torn."""

import fcntl
import http.server
import itertools
import json
import ssl
import threading
import time
import types

import pytest

from tests import tls_server, utilities

utilities.use()

from ansible.module_utils.host import lease  # noqa: E402
from ansible.module_utils.host import record as host_record  # noqa: E402
from ansible.module_utils.host.openssl import openssl  # noqa: E402
from ansible.module_utils.watch import answer, decide, files, proof, remedy, rounds, seen, seldom  # noqa: E402

STARTED = "2026-11-30T08:00:00Z"
LATE, READY = (
    {"why": "does not answer: timed out"},
    {"status": 200, "text": '{"system_health": "Healthy", "active_batch_requests": 2}'},
)
URLS = {"engine": "http://127.0.0.1:9991/metrics", "api": "http://127.0.0.1:8080/v1/status"}
CONFIG = {
    "host": "gpu1", "engine": "docker", "gpu": True, "urls": URLS, "start_s": 600, "grace_s": 30, "seldom_s": 0,
    "transcription_s": 0, "policy": {}, "hook": [], "words": ["life", "moves"], "speech": "",
    "apis": {"api": {"url": URLS["api"], "profile": "stt"}},
}  # fmt: skip


@pytest.fixture
def node(monkeypatch):
    """A watch whose server is a table: what each address says, the containers, and whether a GPU was lost."""
    reported = {
        URLS["engine"]: {"status": 200, "text": ""},
        URLS["api"]: READY,
        URLS["api"] + "/engine": link("Connected"),
    }
    container = {"running": True, "gpu": True, "pid": 7, "started": STARTED}
    world = types.SimpleNamespace(
        reported=reported, containers={"engine": container, "api": {**container, "gpu": False}}, lost=""
    )

    class Docker:
        commands = staticmethod(lambda engine: {})

        def __init__(self, programs):
            pass

        def container(self, component):
            return world.containers[component]

    monkeypatch.setattr(seen, "ENGINES", {"docker": Docker})
    monkeypatch.setattr(seen.host_network, "page", lambda url: world.reported[url])
    monkeypatch.setattr(
        seen.container_gpus, "lost", lambda engine, name, pid: world.lost if name == "deepgram-engine" else ""
    )
    world.watch = seen.Watch(CONFIG)
    return world


def link(state):
    return {"status": 200, "text": json.dumps({"engine_connection_status": state})}


def names(node, now):
    return [one.name for one in node.watch.round(now)]


def test_a_healthy_node_has_no_finding(node):
    assert names(node, 100) == [] and node.watch.active == 2


def test_an_engine_that_hangs(node):
    names(node, 100)
    node.reported[URLS["engine"]] = LATE
    (found,) = node.watch.round(102)
    assert (found.name, found.remedy, found.finishes) == ("engine hangs", "kill engine", False)


def test_one_that_is_loading_or_refuses_a_connection_does_not_hang(node, monkeypatch):
    monkeypatch.setattr(seen.time, "time", lambda: seen.moment(STARTED) + 60)
    node.reported[URLS["engine"]] = LATE
    assert names(node, 100) == [], "it never answered since its start"
    node.reported[URLS["engine"]] = {"why": "does not answer: Connection refused"}
    assert names(node, 102) == []
    node.reported[URLS["engine"]] = LATE
    monkeypatch.setattr(seen.time, "time", lambda: seen.moment(STARTED) + 601)
    assert names(node, 104) == ["engine hangs"], "it had time enough"


def test_one_that_started_again_is_loading_again(node, monkeypatch):
    names(node, 100)
    node.containers["engine"] = {**node.containers["engine"], "started": "2026-11-30T09:00:00Z"}
    monkeypatch.setattr(seen.time, "time", lambda: seen.moment("2026-11-30T09:00:10Z"))
    node.reported[URLS["engine"]] = LATE
    assert names(node, 110) == []


def test_a_container_that_lost_its_gpu_and_an_api_without_engine(node):
    node.lost = "Failed to initialize NVML: Unknown Error"
    node.reported[URLS["api"] + "/engine"] = link("Disconnected")
    assert names(node, 100) == ["engine gpu", "api without engine"]
    node.containers["engine"] = {**node.containers["engine"], "running": False}
    assert names(node, 110) == ["api without engine"], "of one that does not run nothing is asked"


def test_an_api_that_blames_itself_for_what_is_over(node):
    node.reported[URLS["api"]] = {"status": 200, "text": '{"system_health": "Critical"}'}
    assert names(node, 100) == [], "its Engine ran all the time: to restart it would hide the reason"
    node.containers["engine"] = {**node.containers["engine"], "started": "2026-11-30T09:00:00Z"}
    assert names(node, 110) == ["api health"]
    node.reported[URLS["api"] + "/engine"] = link("Disconnected")
    assert names(node, 112) == ["api without engine"]


def test_of_several_products_an_api_answers_for_its_own_engine(node):
    """Flux's API failed while its own Engine ran; that the other product's Engine was restarted since excuses nothing."""
    urls = {f"{kind}-{name}": f"{URLS[kind]}/{name}" for name in ("a", "flux") for kind in ("engine", "api")}
    node.reported.update(dict.fromkeys(urls.values(), READY))
    node.reported.update({urls[f"api-{name}"] + "/engine": link("Connected") for name in ("a", "flux")})
    node.containers.update({name: node.containers[name.partition("-")[0]] for name in urls})
    node.watch = seen.Watch({**CONFIG, "urls": urls, "engines": {"api-a": ["engine-a"], "api-flux": ["engine-flux"]}})
    node.reported[urls["api-flux"]] = {"status": 200, "text": '{"system_health": "Critical"}'}
    later = {**node.containers["engine-a"], "started": "2026-11-30T09:00:00Z"}
    node.containers["engine-a"] = later
    assert names(node, 100) == []
    node.containers["engine-flux"] = later
    assert names(node, 110) == ["api-flux health"]


def test_a_container_engine_that_is_silent_is_no_fault(node):
    def silent(component):
        raise seen.Silent("Docker does not answer")

    seen.ENGINES["docker"].container = lambda self, component: silent(component)
    node.reported[URLS["engine"]] = LATE
    assert names(node, 100) == []


def asked(server, state, others, path="/watch"):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    connection.request("GET", path, headers={"X-Deepgram-State": state, "X-Deepgram-Others": others})
    reported = connection.getresponse()
    return reported.status, json.loads(reported.read())


def test_proxies_ask_and_tell():
    proxies = answer.Proxies([])
    with answer.Server("127.0.0.1", 0, proxies) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.answer = {"out": True, "reason": "the Engine hangs"}
        assert asked(server, "up", "1/2") == (200, server.answer)
        assert [(one["state"], one["up"], one["all"]) for one in proxies.lately(time.monotonic())] == [("up", 1, 2)]
        assert proxies.lately(time.monotonic() + answer.FRESH_S) == ()
        for state, others in (("up", ""), ("up", "1/x"), ("well", "5/5"), ("", "")):
            assert asked(server, state, others)[0] == 200
        assert [one["up"] for one in proxies.lately(time.monotonic())] == [1], "what says nothing tells nothing"
        assert asked(server, "up", "1/1", "/")[0] == 404
        proxies.addresses.clear()
        assert asked(server, "up", "9/9")[0] == 403, "nobody else is believed"
        assert [one["up"] for one in proxies.lately(time.monotonic())] == [1]
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "reported", "why"),
    [
        (200, "Life moves pretty fast.", ""),
        (200, "", "of 2 words that are said it heard 0"),
        (500, None, "a transcription got HTTP 500"),
        (200, None, "a transcription got HTTP 200"),
    ],
)
def test_the_proof_compares_words(status, reported, why):
    body = (
        {"results": {"channels": [{"alternatives": [{"transcript": reported}]}]}}
        if reported is not None
        else {"err_msg": "no"}
    )
    assert proof.judged(status, json.dumps(body).encode(), ["life", "moves"]).startswith(why)
    assert bool(proof.judged(status, json.dumps(body).encode(), ["life", "moves"])) is bool(why)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_proof_reaches_an_api_with_tls_and_one_without(tmp_path, scheme):
    class Api(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            sound = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"heard " + sound)

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api) as api:
        if scheme == "https":
            pair = str(tmp_path / "key"), str(tmp_path / "crt")
            kind = (
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-keyout",
                pair[0],
                "-out",
                pair[1],
            )
            openssl("req", "-x509", *kind, "-subj", "/CN=deepgram-api", "-days", "2")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair[1], pair[0])
            tls_server.secure(api, context)
        threading.Thread(target=api.serve_forever, daemon=True).start()
        try:
            assert proof.post(f"{scheme}://127.0.0.1:{api.server_port}", "/v1/listen", b"life") == (200, b"heard life")
        finally:
            api.shutdown()


def test_the_model_that_is_asked_is_an_english_one(monkeypatch):
    reported = {"stt": [{"canonical_name": "nova-3-de", "languages": ["de"], "batch": True},
                    {"canonical_name": "nova-3-stream", "languages": ["en"], "batch": False},
                    {"canonical_name": "nova-3-general", "languages": ["en-US"], "batch": True}]}  # fmt: skip
    monkeypatch.setattr(proof.host_network, "page", lambda url: {"status": 200, "text": json.dumps(reported)})
    assert proof.query("http://x") == "model=nova-3-general"
    del reported["stt"][1:]
    assert proof.query("http://x") == "model=nova-3-de&language=de"
    reported.clear()
    assert proof.query("http://x") == ""


@pytest.fixture
def places(tmp_path, monkeypatch):
    for module, name, folder in ((files, "RUN", "run"), (files, "KEPT", "kept"), (host_record, "FOLDER", "records")):
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(module, name, str(tmp_path / folder))
    monkeypatch.setattr(lease, "LOCK", str(tmp_path / "run/acting"))
    return tmp_path


def watchdog(**changes):
    return rounds.Rounds({**CONFIG, **changes}, answer.Proxies([]), None)


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"state": 1}', '{"state": {"phase": "out"}}'])
def test_a_torn_state_serves(places, torn, capsys):
    (places / "run/state.json").write_text(torn)
    (places / "kept/state.json").write_text(torn)
    assert watchdog().state == decide.fresh()
    assert "its state cannot be believed" in capsys.readouterr().out


def test_a_state_outlives_a_restart_and_after_a_boot_only_what_was_tried(places):
    state = dict(decide.fresh(), phase="hand", reason="Xid 79", since=5, note="waits")
    files.write_state({"at": time.time(), "state": state})
    assert watchdog().state == state
    (places / "run/state.json").unlink()
    files.keep([time.time() - 60, time.time() - 9999])
    found = watchdog().state
    assert found["phase"] == "in" and [round(time.monotonic() - at) for at in found["tries"]] == [60, 9999]


def test_a_disk_that_cannot_be_written_is_said_once_and_serves(places, node, capsys, monkeypatch):
    dog = watchdog()
    dog.watch = node.watch
    monkeypatch.setattr(files, "RUN", "/proc/nowhere")
    dog.turn()
    dog.turn()
    assert capsys.readouterr().out.count("cannot write its state") == 1


def test_a_round_takes_a_hung_engine_out_heals_it_and_comes_back(places, node, capsys, monkeypatch):
    clock, done = [1000.0], []
    monkeypatch.setattr(rounds.time, "monotonic", lambda: clock[0])
    dog = watchdog(policy={"when_last": True})
    dog.watch = node.watch

    def heal(words, config, frozen):
        done.append(words)
        node.reported[URLS["engine"]] = {"status": 200, "text": ""}
        return ""

    monkeypatch.setattr(remedy, "carry_out", heal)
    monkeypatch.setattr(proof, "failure", lambda config: "")
    dog.turn()
    node.reported[URLS["engine"]] = LATE
    phases = []
    for _ in range(12):
        clock[0] += 3
        dog.turn()
        if dog.running:
            dog.running.join(5)
        phases.append(files.report(time.time())["phase"])
    assert done == ["kill engine"] and [phase for phase, _ in itertools.groupby(phases)] == [
        "in",
        "out",
        "acting",
        "proving",
        "in",
    ]
    report = files.report(time.time())
    assert (report["out"], report["reason"], report["healed"], report["tries"]) == (False, "", 1, 1)
    reported = capsys.readouterr().out
    assert [line.split(":")[0] for line in reported.splitlines()] == ["out", "remedy", "back"]


def test_who_works_on_the_server_freezes_it(places):
    dog = watchdog()
    assert dog.frozen(time.time()) == ""
    host_record.write("nvidia_driver", "gpu1", role="nvidia_driver", finished=False, desired={}, things={})
    assert dog.frozen(time.time()) == "dgctl is at work (role nvidia_driver)"
    assert dog.frozen(time.time() + lease.RUN_S + 1) == "", "a run that was killed is over at some time"
    host_record.write("nvidia_driver", "gpu1", role="nvidia_driver", finished=True, desired={}, things={})
    assert dog.frozen(time.time()) == ""
    dog.proxies.reported["x"] = {"state": "drained", "up": 1, "all": 1, "at": time.monotonic()}
    assert dog.frozen(time.time()) == "it is drained"


def test_a_mark_of_maintenance_silences_it_until_then(places):
    files.silence(60, "new fan")
    assert watchdog().frozen(time.time()) == "silenced: new fan" and watchdog().frozen(time.time() + 61) == ""
    (places / "kept/silent.json").write_text("{torn")
    assert "cannot be read" in watchdog().frozen(time.time()), "in doubt it does nothing"
    assert files.resume() and not files.resume() and watchdog().frozen(time.time()) == ""


def test_a_remedy_and_a_run_wait_for_each_other(places, monkeypatch):
    ran = []
    monkeypatch.setitem(remedy.VERBS, "kill", lambda component, config: ran.append(component))
    assert remedy.carry_out("kill engine", CONFIG, lambda: "dgctl is at work") == "left alone: dgctl is at work"
    assert remedy.carry_out("kill engine", CONFIG, lambda: "") == "" and ran == ["engine"]
    with open(lease.LOCK, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        started = time.monotonic()
        lease.wait(0.3)
        assert time.monotonic() - started >= 0.3
    started = time.monotonic()
    lease.wait(5)
    assert time.monotonic() - started < 1


def test_a_remedy_that_breaks_is_a_failure_in_words(places, monkeypatch):
    monkeypatch.setattr(remedy, "SOCKET", str(places / "no.sock"))
    assert remedy.carry_out("kill engine", CONFIG, lambda: "").startswith("kill engine: ")


def test_docker_is_told_to_restart_and_what_it_answers_counts(places, monkeypatch):
    import socketserver

    asked_for, status = [], [b"204 No Content"]

    class Docker(socketserver.StreamRequestHandler):
        def handle(self):
            asked_for.append(self.rfile.readline().decode().split()[:2])
            self.wfile.write(b"HTTP/1.0 " + status[0] + b"\r\n\r\n")

    with socketserver.UnixStreamServer(str(places / "docker.sock"), Docker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(remedy, "SOCKET", str(places / "docker.sock"))
        remedy._restart("engine", CONFIG, 1)
        status[0] = b"500 Internal Server Error"
        with pytest.raises(remedy.Failed, match="Docker answers 500"):
            remedy._restart("engine", CONFIG, 1)
        server.shutdown()
    assert asked_for == [["POST", "/containers/deepgram-engine/restart?t=1"]] * 2


def test_what_is_seldom_looked_at_is_the_doctors_own():
    assert {check.name for check in seldom.CHECKS} == set(seldom.NAMES)
    failing = [
        {"check": "gpu answers", "seen": "GPU 0 is lost", "fix": "reboot it"},
        {"check": "disk", "seen": "/ is full", "fix": ""},
    ]
    (found,) = seldom.grave(failing)
    assert (found.remedy, found.safe, found.fix) == ("reboot", False, "reboot it")
    assert seldom.warnings(failing) == ["disk: / is full"]


def test_a_slow_question_is_asked_beside_and_one_at_a_time():
    gate, calls = threading.Event(), []

    def slow():
        calls.append(1)
        gate.wait(5)
        return "well"

    question = seldom.Background(slow, 10, "")
    assert [question.turn(0), question.turn(20)] == ["", ""] and calls == [1]
    gate.set()
    question.thread.join(5)
    assert question.turn(5) == "well"


def test_the_operators_command_hears_of_events(tmp_path, capsys):
    from ansible.module_utils.watch.hook import Hook

    heard = tmp_path / "heard"
    hook = Hook(["sh", "-c", f"cat > {heard}"])
    hook._run('{"event": "out"}\n')
    assert json.loads(heard.read_text()) == {"event": "out"}
    Hook(["false"])._run("")
    assert "node_watch_hook: false: ended with 1" in capsys.readouterr().err
