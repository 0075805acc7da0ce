"""deepgram_status: what runs on a server, and a sentence for everything that could not be read."""

import json
import time
from datetime import datetime, timezone

import pytest

from tests.roles_app.conftest import load

MODULE = load("modules", "deepgram_status")
NOW = datetime(2026, 11, 29, 12, tzinfo=timezone.utc).timestamp()
# nvidia-smi --query-gpu=... --format=csv,noheader,nounits, of a T4, and of a GPU that lacks a field
ROWS = "0, Tesla T4, GPU-1, 580.173.02, 15360, 1043, 7, 45\n1, NVIDIA A2, GPU-2, 580.173.02, 15356, [N/A], 0, 40\n"
VIEW = {
    "running": True, "status": "running", "health": "healthy", "started_at": "2026-11-29T10:00:00Z", "restarts": 0,
    "image": "quay.io/deepgram/self-hosted-api@sha256:ab", "labels": {"deepgram.release": "release-260812"}, "id": "1",
}  # fmt: skip


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server with everything; a test changes its pages (URL -> text), containers, nvidia-smi's answer or parameters."""

    class Server:
        def __init__(self):
            self.pages = {
                "http://api/v1/status": '{"system_health": "Healthy"}',
                "http://api/v1/status/engine": '{"engine_connection_status": "Connected"}',
                "http://api/v1/models": '{"stt": [{"name": "nova-3", "languages": ["en"]}], "note": "x"}',
                "http://api/v1/certificates": '{"end_of_support": "2026-12-29 12:00:00.0 +00:00:00"}',
                "http://metrics/v1/certificates": '{"end_of_life": "2026-11-30 12:00:00.0 +00:00:00"}',
                "http://metrics/metrics": 'engine_max_active_requests 20\nengine_active_requests{kind="batch"} 3\n',
                "http://licence/v1/status": '{"state": "Connected"}',
            }
            self.containers = {"deepgram-api": dict(VIEW), "deepgram-engine": dict(VIEW)}
            self.smi = (0, ROWS, "")
            self.params = {
                "engine": "docker", "parts": ["api", "engine"], "api_url": "http://api", "metrics_url": "http://metrics",
                "license_proxy_url": "http://licence", "certificate": "", "record": str(tmp_path / "images.json"),
            }  # fmt: skip
            (tmp_path / "images.json").write_text('{"release": "release-260812"}')

        def status(self):
            return MODULE.gather(self.params, NOW)

        def get(self, url, timeout=5):
            return (self.pages[url], "") if self.pages.get(url) else (None, "Connection refused")

        def get_json(self, url, timeout=5, ask=None):
            text, why = self.get(url)
            return (json.loads(text), "") if text else (None, why)

    made = Server()
    monkeypatch.setattr(MODULE, "get", made.get)
    monkeypatch.setattr(MODULE, "get_json", made.get_json)
    monkeypatch.setattr(MODULE, "inspect", lambda engine, name: made.containers.get(name) if engine == "docker" else 1)
    monkeypatch.setattr(MODULE, "run", lambda words, timeout, check: made.smi)
    return made


def test_a_healthy_server_has_everything_and_no_problem(server):
    status = server.status()
    assert status["problems"] == [] and status["release"] == "release-260812"
    assert status["api"] == {"system_health": "Healthy"}
    assert status["engine_connection"] == {"engine_connection_status": "Connected"}
    assert [(model["kind"], model["name"]) for model in status["models"]] == [("stt", "nova-3")]
    assert status["load"]["max_active_requests"] == 20 and status["load"]["active_requests"] == {"batch": 3}
    assert (
        status["certificates"]["api"]["days_left"] == 30
        and status["certificates"]["api"]["days_to_end_of_life"] is None
    )
    assert status["certificates"]["engine"]["days_to_end_of_life"] == 1 and status["certificates"]["proxy"] is None
    assert status["license_proxy"] == {"state": "Connected"} and status["driver"]["reported"] == "580.173.02"
    assert status["containers"]["deepgram-api"] == {
        **{key: VIEW[key] for key in ("running", "status", "health", "image", "started_at", "restarts")},
        "digest": "sha256:ab",
        "release": "release-260812",
    }
    assert [(gpu["index"], gpu["memory_used_mb"], gpu["temperature_c"]) for gpu in status["gpus"]] == [
        (0, 1043, 45),
        (1, None, 40),
    ]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://api/v1/status", "/v1/status: Connection refused"),
        ("http://api/v1/status/engine", "/v1/status/engine: Connection refused"),
        ("http://api/v1/models", "/v1/models: Connection refused"),
        ("http://api/v1/certificates", "API certificates: Connection refused"),
        ("http://metrics/v1/certificates", "Engine certificates: Connection refused"),
        ("http://metrics/metrics", "Engine metrics: Connection refused"),
        ("http://licence/v1/status", "License Proxy: Connection refused"),
    ],
)
def test_each_page_that_does_not_answer_is_a_problem(server, url, sentence):
    server.pages[url] = ""
    status = server.status()
    assert status["problems"] == [sentence]
    assert ("models" not in url) or status["models"] == []


def test_what_does_not_run_here_is_not_asked_and_no_problem(server):
    server.params["parts"], server.params["license_proxy_url"] = ["engine"], ""
    server.pages = {url: text for url, text in server.pages.items() if "metrics" in url}
    status = server.status()
    assert (
        status["problems"] == []
        and status["license_proxy"] is None
        and list(status["containers"]) == ["deepgram-engine"]
    )
    server.params["parts"], server.pages, server.smi = ["license-proxy"], {}, (127, "", "nvidia-smi is not installed")
    server.containers["deepgram-license-proxy"] = dict(VIEW, image="licence:1", labels={})
    status = server.status()
    assert status["problems"] == [] and status["gpus"] == [] and status["load"] is None
    assert status["containers"]["deepgram-license-proxy"]["digest"] is None


def test_a_container_that_is_missing_is_a_problem(server):
    del server.containers["deepgram-engine"]
    status = server.status()
    assert status["problems"] == ["container deepgram-engine: there is none"]
    assert status["containers"]["deepgram-engine"] is None


DENIED = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"


@pytest.mark.parametrize(
    ("engine", "user", "reported", "sentence"),
    [
        ("docker", 0, "Error response from daemon: No such container: deepgram-engine", "there is none"),
        (
            "podman",
            0,
            'Error: no container with name or ID "deepgram-engine" found: no such container',
            "there is none",
        ),
        (
            "docker",
            1000,
            DENIED,
            "not seen: this user may not read it, and is not root (permission denied while trying",
        ),
        ("podman", 1000, "Error: no such container deepgram-engine", "not seen: this user may not read it, and is not"),
        ("docker", 0, "Cannot connect to the Docker daemon", "not seen: Cannot connect to the Docker daemon"),
    ],
)
def test_who_may_not_see_a_container_does_not_hear_that_there_is_none(monkeypatch, engine, user, reported, sentence):
    monkeypatch.setattr(MODULE.os, "geteuid", lambda: user)
    monkeypatch.setattr(MODULE, "run", lambda words, timeout, check: (1, "[]", reported + "\n"))
    assert MODULE.why_absent(engine, "deepgram-engine").startswith(sentence)


def test_a_record_that_may_not_be_read_is_a_problem(server, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(MODULE, "open", denied, raising=False)
    status = server.status()
    assert status["release"] is None and len(status["problems"]) == 1
    assert "images.json: this user may not read it" in status["problems"][0]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((9, "NVIDIA-SMI has failed\nmore\n", ""), "nvidia-smi: NVIDIA-SMI has failed"),
        ((127, "", "nvidia-smi is not installed"), "nvidia-smi: nvidia-smi is not installed"),
        ((5, "", ""), "nvidia-smi: ended with 5"),
    ],
)
def test_a_driver_that_does_not_answer_is_a_problem(server, answer, sentence):
    server.smi = answer
    status = server.status()
    assert status["problems"] == [sentence] and status["gpus"] == [] and status["driver"]["reported"] is None


@pytest.mark.parametrize(
    ("state", "reported"), [("TrustBased", True), ("Failed", True), ("Connected", False), (None, False)]
)
def test_a_license_proxy_on_its_own_is_a_problem(server, state, reported):
    server.pages["http://licence/v1/status"] = json.dumps({"state": state})
    problems = server.status()["problems"]
    assert problems == [f"License Proxy: it is {state}: Deepgram's licence server does not answer it"] * reported


def test_billing_tells_its_container_and_when_its_release_ends(server):
    server.params |= {"parts": ["billing"], "billing_url": "http://billing", "license_proxy_url": ""}
    server.smi, server.containers["deepgram-billing"] = (127, "", "nvidia-smi is not installed"), dict(VIEW, labels={})
    server.pages = {"http://billing/v1/certificates": json.dumps({"end_of_life": "2027-05-15 3:25:28.0 +00:00:00"})}
    status = server.status()
    assert status["problems"] == [] and list(status["containers"]) == ["deepgram-billing"]
    assert status["certificates"]["billing"]["days_to_end_of_life"] > 0
    server.pages["http://billing/v1/certificates"] = ""
    assert server.status()["problems"] == ["Billing: Connection refused"]
    server.params["billing_url"] = ""
    assert "billing" not in server.status()["certificates"]


def test_the_proxys_certificate(server, monkeypatch, tmp_path):
    server.params["certificate"] = str(tmp_path / "tls.crt")
    status = server.status()
    assert "proxy certificate: " in status["problems"][0] and status["certificates"]["proxy"] is None
    monkeypatch.setattr(MODULE, "describe", lambda path: {"subject": path, "not_after": "2027-01-08T12:00:00Z"})
    status = server.status()
    assert status["problems"] == [] and status["certificates"]["proxy"]["days_left"] == 40


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_record_that_is_missing_or_torn_names_no_release(server, tmp_path, text):
    (tmp_path / "images.json").unlink() if text is None else (tmp_path / "images.json").write_text(text)
    assert server.status()["release"] is None


def test_the_module_changes_nothing(server, monkeypatch):
    reported = []
    monkeypatch.setattr(time, "time", lambda: NOW)

    class Module:
        def __init__(self, argument_spec, supports_check_mode):
            assert supports_check_mode
            self.params = server.params

        def exit_json(self, **words):
            reported.append(words)

    monkeypatch.setattr(MODULE, "AnsibleModule", Module)
    MODULE.main()
    assert reported[0]["changed"] is False and reported[0]["status"]["release"] == "release-260812"


def test_what_the_watchdog_did_is_told(server, tmp_path, monkeypatch):
    monkeypatch.setattr(MODULE.watch_files, "RUN", str(tmp_path))
    assert server.status()["watch"] is None and not server.status()["problems"]
    reported = {"at": NOW - 2, "phase": "hand", "out": True, "since": NOW - 3600, "reason": "Xid 79; waits for a hand"}
    (tmp_path / "state.json").write_text(json.dumps(reported))
    status = server.status()
    assert status["problems"] == ["out by itself since 2026-11-29 11:00 UTC: Xid 79; waits for a hand"]
    assert (status["watch"]["phase"], status["watch"]["out"]) == ("hand", True)
    (tmp_path / "state.json").write_text(json.dumps({"at": NOW, "phase": "in", "out": False, "note": "it is the last"}))
    assert server.status()["problems"] == ["the watchdog tells: it is the last"]
    (tmp_path / "state.json").write_text(json.dumps({**reported, "at": NOW - 999}))
    assert server.status()["watch"] is None, "one that ended long ago"
