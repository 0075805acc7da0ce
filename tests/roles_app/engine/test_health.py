"""deepgram_health and deepgram_service: what is seen, what counts as proof, what recreates a container."""

import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest
from ansible.module_utils.deepgram import containers, engines, http
from ansible.module_utils.deepgram.log import events

from tests import log_forms
from tests.log_forms import FORMS, NAMELESS, reported
from tests.roles_app.conftest import ROOT, load
from tests.roles_app.engine.fake_engine import FakeEngine

HEALTH = load("modules", "deepgram_health")
SAMPLES = ROOT / "tests/samples/deepgram"
METRICS = """# TYPE engine_active_requests gauge
engine_active_requests{kind="batch"} 1
engine_active_requests{kind="stream"} 2
engine_estimated_stream_capacity 64
engine_max_active_requests 20
"""


@pytest.fixture
def pages():
    """{path: text} that a server on the loopback address answers with; the key "url" is its address."""
    found = {
        "/metrics": METRICS,
        "/v1/status": '{"system_health":"Ready"}',
        "/v1/status/engine": '{"engine_connection_status":"Connected"}',
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            text = found.get(self.path)
            self.send_response(200 if text else 503)
            self.end_headers()
            self.wfile.write((text or "busy").encode())

        def log_message(self, *args):
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    found["url"] = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()


@pytest.fixture
def engine(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    fake = FakeEngine(tmp_path / "bin", monkeypatch)
    fake.set(containers={f"deepgram-{name}": container() for name in ("engine", "api")})
    return fake


def container(restarts=0, started="2026-11-21T05:00:00.5Z", **state):
    running = {"Running": True, "Status": "running", "StartedAt": started, **state}
    return {"Id": "a1", "State": running, "RestartCount": restarts, "Config": {"Labels": {}}}


@pytest.fixture
def params(pages, tmp_path):
    return {
        "engine": "docker",
        "api_url": pages["url"],
        "metrics_url": pages["url"],
        "engine_address": "",
        "license_proxy_url": "",
        "max_active_requests": "20",
        "gpu_required": True,
        "timeout_s": 0,
        "env_file": str(tmp_path / "env"),
        "models_dir": str(tmp_path),
    }


@pytest.mark.parametrize(
    "page, text, component, words",
    [
        ("/metrics", None, "engine", "HTTP 503: busy"),
        ("/v1/status", None, "api", "/v1/status does not answer"),
        ("/v1/status", "<html>", "api", "not JSON"),
        ("/v1/status/engine", '{"engine_connection_status":"Disconnected"}', "api", "Disconnected"),
        ("/v1/status", '{"system_health":"Critical"}', "api", "system_health is Critical"),
    ],
)
def test_what_is_missing_is_named(pages, params, page, text, component, words):
    assert HEALTH.look(params)["max_active_requests"] == 20
    pages[page] = text
    with pytest.raises(HEALTH.NotReady, match=words) as reason:
        HEALTH.look(params)
    assert reason.value.component == component


def test_container_that_keeps_dying_is_not_waited_for(pages, params, engine, monkeypatch):
    pages["/metrics"] = None
    params["timeout_s"] = 600
    restarted = {f"deepgram-{name}": container(restarts=3) for name in ("engine", "api")}
    # The module's sleep alone: subprocess sleeps too, while it waits for a program.
    sleep = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: engine.set(containers=restarted))
    monkeypatch.setattr(HEALTH, "time", sleep)
    with pytest.raises(HEALTH.NotReady, match="the container deepgram-engine dies again and again"):
        HEALTH.wait(params)


def test_diagnosis_shows_the_log_without_the_key_and_the_cure(params, engine, tmp_path):
    (tmp_path / "env").write_text("DEEPGRAM_API_KEY=topsecretkey\n")
    line = "ERROR impeller::license: Aegis request to https://license.deepgram.com failed: 401 key topsecretkey"
    engine.set(logs={"deepgram-engine": f"fine\n{line}\n"})
    what, log, fix = HEALTH.diagnosis(params, HEALTH.NotReady("it does not answer", "engine"), 0)
    assert "topsecretkey" not in what + log and "failed: 401 key ****" in log and "fine" not in log
    assert "deepgram_api_key" in fix


def test_a_flux_server_without_its_model_is_told_what_to_name(params, engine):
    engine.set(logs={"deepgram-engine": "ERROR impeller::flux: Can't find flux-general-en model\n"})
    fix = HEALTH.diagnosis(params, HEALTH.NotReady("it does not answer", "engine"), 0)[2]
    assert "deepgram_models_links" in fix


def test_no_key_is_told_from_a_refused_one(params, engine):
    engine.set(logs={"deepgram-engine": "ERROR impeller::config: Missing license configuration\n"})
    fix = HEALTH.diagnosis(params, HEALTH.NotReady("it does not answer", "engine"), 0)[2]
    assert "no key was given" in fix and "set deepgram_api_key" in fix and "refuses" not in fix


@pytest.mark.parametrize("form", FORMS)
def test_an_older_image_is_named_whatever_the_format(params, engine, form):
    """`missing field` alone is the line, and comes after one that is an error."""
    text = (SAMPLES / "flux_page_old_image.txt").read_text()
    engine.set(logs={"deepgram-engine": reported(form, "Loading configuration from /config/engine.toml") + text})
    fix = HEALTH.diagnosis(params, HEALTH.NotReady("it does not answer", "engine"), 0)[2]
    assert "release-251015" in fix


@pytest.mark.parametrize("micro", ["140140", "401000", "014401"])
def test_a_time_is_no_refused_key(params, engine, micro):
    line = f"2026-03-19T14:30:00.{micro}Z  INFO stem: Certificates information. end_of_life=2027-09-19 3:26:33.401 +00:00:00"
    engine.set(logs={"deepgram-api": f"{line}\nINFO stem::config: Loading configuration from /config/api.toml\n"})
    fix = HEALTH.diagnosis(params, HEALTH.NotReady("it does not answer", "api"), 0)[2]
    assert fix.startswith("read the log of deepgram-api")


GOOD = "INFO impeller::config: Using devices: Gpu(0)\n"


@pytest.mark.parametrize(
    "logs, load, failing",
    [
        ({}, {}, []),
        (
            {"engine": "WARN Configuration file not found at /x. Falling back to default configuration"},
            {},
            ["engine reads its configuration"],
        ),
        ({"api": "WARN Falling back to bundled configuration"}, {}, ["api reads its configuration"]),
        ({"engine": "INFO impeller::config: Using devices: CPU"}, {}, ["engine computes on the GPU"]),
        ({"engine": "INFO Running model on device cpu"}, {}, ["engine computes on the GPU"]),
        (
            {"engine": "ERROR impeller::model_suppliers::autoload: Unable to read model search path /models"},
            {},
            ["engine finds its models"],
        ),
        ({}, {"max_active_requests": 0}, ["engine limits its requests"]),
        ({}, {"max_active_requests": None}, ["engine limits its requests"]),
    ],
)
def test_green_means_as_configured(params, logs, load, failing):
    read = {name: events(text) for name, text in {"engine": GOOD, "api": "", **logs}.items()}
    found = HEALTH.prove(params, {"max_active_requests": 20, **load}, read)
    assert [entry["check"] for entry in found if entry["verdict"] == "fail"] == failing
    assert all(entry["fix"] for entry in found if entry["verdict"] == "fail")


def test_cpu_is_no_finding_where_it_is_allowed_and_no_limit_is_none(params):
    params.update(gpu_required=False, max_active_requests=None)
    found = HEALTH.prove(params, {"max_active_requests": 0}, {"engine": ["Using devices: CPU"], "api": []})
    assert [entry["verdict"] for entry in found] == ["pass"] * 5


@pytest.mark.parametrize("form", FORMS)
def test_refused_model_counts_until_its_file_is_replaced(params, tmp_path, form):
    """In a form that leaves the file's name out, it counts until something was added, replaced or removed there."""
    model = tmp_path / "a.en.batch.1.dgv2"
    log = events(log_forms.new(form, model.name) + log_forms.refused(form, model.name, err="Corrupt"))
    if form not in NAMELESS:
        assert HEALTH.refused_models(log, tmp_path) == {}
    model.write_bytes(b"x")
    for path in (model, tmp_path):
        os.utime(path, (1, 1))
    found = HEALTH.models_finding(log, tmp_path)
    assert found["verdict"] == "fail" and "Failed to load model" in found["seen"]
    file = "file" if form in NAMELESS else model.name
    assert file in found["seen"] and f"{file}: replace that file" in found["fix"]
    for path in (model, tmp_path):
        os.utime(path, (http.parse_time("2026-11-21T05:52:00Z"),) * 2)
    assert HEALTH.models_finding(log, tmp_path)["verdict"] == "pass"


def test_what_deepgram_publishes_of_a_refused_model(params, tmp_path):
    (tmp_path / "flux-general-en.caf79279.dg").write_bytes(b"x")
    found = HEALTH.models_finding(events((SAMPLES / "flux_page_refused.txt").read_text()), tmp_path)
    assert found["verdict"] == "fail" and "flux-general-en.caf79279.dg: set deepgram_profile: flux" in found["fix"]


@pytest.mark.parametrize("age, recreated", [(-60, {"engine"}), (60, set())])
def test_file_newer_than_its_container_recreates_it(tmp_path, age, recreated):
    file = tmp_path / "engine.toml"
    file.write_text("")
    view = {"running": True, "started": time.time() + age}
    assert set(engines.stale({"engine": [str(file)]}, {"engine": view, "api": view})) == recreated


def test_file_from_the_future_does_not(tmp_path):
    file = tmp_path / "engine.toml"
    file.write_text("")
    os.utime(file, (time.time() + 9999,) * 2)
    view = {"running": True, "started": time.time() - 60}
    assert engines.stale({"engine": [str(file)]}, {"engine": view, "api": view}) == []


def test_view_of_a_container_is_the_same_for_both_engines(engine):
    docker = containers.inspect("docker", "deepgram-api")
    engine.set(containers={"deepgram-api": container(started="2026-11-21T06:00:00.5+01:00")})
    podman = containers.inspect("podman", "deepgram-api")
    assert docker["started"] == podman["started"] == http.parse_time("2026-11-21T05:00:00.5Z")
    assert docker["running"] and podman["running"] and containers.inspect("docker", "nothing") is None
    engine.set(containers={"deepgram-api": container(Restarting=True)})
    assert not containers.inspect("docker", "deepgram-api")["running"]


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("1970-01-02 00:00:00.0 +00:00:00", 86400),
        ("1970-01-01 3:26:33.5 +00:00:00", 12393.5),
        ("1970-01-01T02:00:00.123456789+01:00", 3600.123456789),
        ("1970-01-01T00:00:10Z", 10),
        ("1970-01-01 00:00:00 -0130", 5400),
        ("1970-02-31T00:00:00Z", None),
        ("soon", None),
        (None, None),
    ],
)
def test_dates_as_deepgram_docker_and_openssl_write_them(text, seconds):
    assert http.parse_time(text) == seconds


def test_metrics_and_both_shapes_of_models():
    load_ = http.engine_load(http.metrics(METRICS))
    assert load_ == {
        "max_active_requests": 20,
        "active_requests": {"batch": 1, "stream": 2},
        "estimated_stream_capacity": 64,
    }
    one = {"name": "general", "uuid": "u"}
    assert [model["kind"] for model in http.models([one])] == ["stt"]
    assert [model["kind"] for model in http.models({"stt": [one], "tts": [one], "note": "x"})] == ["stt", "tts"]
    assert http.days_left("2026-11-23T00:00:00Z", http.parse_time("2026-11-21T12:00:00Z")) == 1


def test_of_a_part_that_does_not_run_here_nothing_is_asked(pages, params, engine):
    pages["/metrics"] = None
    api_alone = params | {"metrics_url": ""}
    assert HEALTH.look(api_alone) is None and HEALTH.parts(api_alone) == ["api"]
    logs = HEALTH.start_logs({**api_alone, "engine": "docker"})
    assert [found["check"] for found in HEALTH.prove(api_alone, None, logs)] == ["api reads its configuration"]
    pages["/metrics"], pages["/v1/status"] = METRICS, None
    assert HEALTH.look(params | {"api_url": ""})["max_active_requests"] == 20


@pytest.mark.parametrize(
    ("state", "words"), [("Connected", ""), ("Failed", "state is Failed"), (None, "does not answer")]
)
def test_a_license_proxy(pages, params, state, words):
    pages["/v1/status"] = state and f'{{"state":"{state}"}}'
    alone = params | {"metrics_url": "", "api_url": "", "license_proxy_url": pages["url"]}
    if not words:
        assert HEALTH.look(alone) is None and HEALTH.parts(alone) == ["license-proxy"]
        return
    with pytest.raises(HEALTH.NotReady, match=words) as reason:
        HEALTH.look(alone)
    assert reason.value.component == "license-proxy"


@pytest.mark.parametrize(
    ("page", "words"), [('{"end_of_life":"x"}', ""), (None, "does not answer"), ("<html>", "not JSON")]
)
def test_billing_tells_its_certificates(pages, params, page, words):
    pages["/v1/certificates"] = page
    alone = params | {"metrics_url": "", "api_url": "", "billing_url": pages["url"], "billing_address": ""}
    if not words:
        assert HEALTH.look(alone) is None and HEALTH.parts(alone) == ["billing"]
        plain = pages["url"].partition("//")[2]  # the page takes connections, and speaks no TLS
        with pytest.raises(HEALTH.NotReady, match="gives no licences") as reason:
            HEALTH.look(alone | {"billing_address": plain})
    else:
        with pytest.raises(HEALTH.NotReady, match=words) as reason:
            HEALTH.look(alone)
    assert reason.value.component == "billing"


def test_an_engine_that_others_ask_must_speak_tls(pages, params):
    """The page's port takes connections, as Docker does for a container that does not listen yet."""
    plain = pages["url"].partition("//")[2]
    with pytest.raises(HEALTH.NotReady, match="does not listen for APIs"):
        HEALTH.look(params | {"engine_address": plain})


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_the_container_of_a_part_that_left_is_taken_away(engine, tmp_path, monkeypatch, kind):
    service = load("modules", "deepgram_service")
    monkeypatch.setattr(engines, "QUADLETS", str(tmp_path))
    (tmp_path / "deepgram-api.container").write_text("x")
    params = {
        "engine": kind,
        "directory": str(tmp_path),
        "urls": {},
        "files": {"engine": []},
        "components": ["engine", "api"],
        "stop_timeout_s": 7,
    }
    runner = engines.ENGINES[kind](params, False)
    assert service.drop(runner, params, True) and (tmp_path / "deepgram-api.container").exists()
    before = len(engine.calls)
    assert service.drop(runner, params, False)
    reported = [" ".join(call) for call in engine.calls[before:]]
    stop = "docker stop -t 7 deepgram-api" if kind == "docker" else "systemctl stop deepgram-api.service"
    assert stop in reported and not [call for call in reported if "stop" in call and "engine" in call]
    assert (tmp_path / "deepgram-api.container").exists() is (kind == "docker")
    assert list(service.views(params)) == ["engine"]


@pytest.mark.parametrize(
    ("unit", "command", "strange"),
    [
        (
            "active argv[]=podman run --rm --pull never image ; ignore_errors=no",
            "podman run --pull never --rm image",
            False,
        ),
        ("active argv[]=podman run image ; ignore_errors=no", "podman run --privileged image", True),
        ("active argv[]=podman run -e A=$B image ; ignore_errors=no", "podman run -e A=b image", False),
        ("inactive argv[]=podman run image ; ignore_errors=no", "podman run image", True),
    ],
)
def test_a_container_that_its_unit_did_not_start(monkeypatch, unit, command, strange):
    state, _, start = unit.partition(" ")
    monkeypatch.setattr(engines, "properties", lambda *words: {"ActiveState": state, "ExecStart": start})
    found = {"running": True, "command": command.split()}
    assert engines.strangers({"api": found, "engine": None}) == (["api"] if strange else [])


@pytest.fixture
def module(params, engine, monkeypatch):
    """module(check_mode=False, **changes): (whether it failed, what it reports)."""
    engine.set(logs={"deepgram-engine": GOOD})

    def run(check_mode=False, **changes):
        reported = []

        def end(failed, words):
            reported.append((failed, words))
            raise SystemExit

        one = SimpleNamespace(
            params=params | changes,
            check_mode=check_mode,
            exit_json=lambda **words: end(False, words),
            fail_json=lambda **words: end(True, words),
        )
        monkeypatch.setattr(HEALTH, "AnsibleModule", lambda **_: one)
        with pytest.raises(SystemExit):
            HEALTH.main()
        return reported[0]

    return run


def test_a_service_as_configured_passes_every_check(module):
    failed, reported = module()
    assert not failed and not reported["changed"] and reported["seconds"] >= 0
    assert {entry["verdict"] for entry in reported["findings"]} == {"pass"} and len(reported["findings"]) == 6


def test_one_that_runs_but_not_as_configured_is_a_failure(module, engine):
    engine.set(logs={"deepgram-engine": "INFO impeller::config: Using devices: CPU\n"})
    failed, reported = module(max_active_requests="5")
    assert failed and reported["msg"].startswith("Deepgram runs, but not as configured: engine computes on the GPU: ")
    assert "engine limits its requests: 20, expected 5" in reported["msg"] and "nvidia-ctk cdi list" in reported["fix"]
    assert [entry["check"] for entry in reported["findings"] if entry["verdict"] == "fail"] == [
        "engine computes on the GPU",
        "engine limits its requests",
    ]


def test_one_that_does_not_answer_in_time_is_a_failure_with_its_log(module, pages, engine):
    pages["/v1/status"] = None
    engine.set(
        logs={
            "deepgram-api": "fine\nERROR stem: Aegis request to https://license.deepgram.com failed: 401 Unauthorized\n"
        }
    )
    failed, reported = module()
    reason = f"the API at {pages['url']}/v1/status does not answer (HTTP 503: busy) after 0 s"
    assert failed and reported["msg"].startswith(reason), "nothing of Python's before it"
    assert "last lines of deepgram-api: " in reported["msg"] and "401 Unauthorized" in reported["msg"]
    assert "deepgram_api_key" in reported["fix"]
    (entry,) = reported["findings"]
    assert entry == {
        "check": "deepgram answers",
        "verdict": "fail",
        "seen": reason,
        "expected": "connected and Ready or Healthy",
        "fix": reported["fix"],
    }


def test_check_mode_asks_nothing(module, pages):
    pages["/metrics"] = None
    assert module(check_mode=True) == (False, {"changed": False, "findings": [], "seconds": 0})


def test_it_is_waited_for_until_it_answers(pages, params, engine, monkeypatch):
    pages["/metrics"], params["timeout_s"] = None, 600
    clock, slept = SimpleNamespace(now=1000.0), []

    def sleep(seconds):
        slept.append(seconds)
        clock.now += 20
        pages["/metrics"] = METRICS if len(slept) == 3 else None

    monkeypatch.setattr(HEALTH, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep, time=time.time))
    load_, seconds = HEALTH.wait(params)
    assert load_["max_active_requests"] == 20 and seconds == 60 and slept == [0.25, 1, 3]
