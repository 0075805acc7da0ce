"""An API that blames itself for what failed while its Engine was down restarts; no other does."""

import pytest
from ansible.module_utils.deepgram import engines

URLS = {"engine": "http://127.0.0.1:9/metrics", "api": "http://127.0.0.1:9/v1/status"}
PARAMETERS = {"files": {}, "urls": URLS, "directory": "/etc/deepgram", "stop_timeout_s": 1}


def containers(engine=None, **api):
    seen = {"running": True, "started": 100.0, "gpu": False, "pid": 0, "command": []}
    return {"engine": {**seen, "started": 200.0, **(engine or {})}, "api": {**seen, **api}}


@pytest.fixture
def says(monkeypatch):
    """says(health): what the API says of itself."""

    def be(health, status=200, active=0):
        body = {"system_health": health, "active_batch_requests": active, "active_stream_requests": 0}
        answer = {"status": status, "body": body} if health else {"why": "no answer"}
        monkeypatch.setattr(engines.host_network, "ask", {URLS["api"]: answer}.__getitem__)

    monkeypatch.setattr(engines, "strangers", lambda containers: [])
    monkeypatch.setattr(engines, "run", lambda argv, **_: asked.append(argv) or (0, "", ""))
    asked = be.asked = []
    return be


@pytest.mark.parametrize("kind", [engines.Docker, engines.Podman])
@pytest.mark.parametrize(
    ("health", "seen", "due"),
    [
        ("Degraded", containers(), {"api"}),
        ("Critical", containers(), {"api"}),
        ("Ready", containers(), set()),
        ("Initializing", containers(), set()),  # it has no Engine yet
        ("", containers(), set()),
        ("Degraded", containers(started=300.0), set()),  # its Engine was there all the time
        ("Degraded", containers({"running": False}), {"engine"}),
        ("Degraded", {"api": containers()["api"]}, {"api"}),  # its Engines are elsewhere, and it has no requests
    ],
)
def test_due(says, kind, health, seen, due):
    says(health)
    assert kind(PARAMETERS, False).due(seen) == due


def test_one_that_has_requests_and_no_engine_here(says):
    says("Degraded", active=1)
    assert engines.Docker(PARAMETERS, False).due({"api": containers()["api"]}) == set()


def test_whatever_its_http_status_is(says):
    says("Critical", status=503)
    assert engines.Docker(PARAMETERS, False).due(containers()) == {"api"}


def test_compose_is_made_to_do_it(says):
    says("Degraded")
    engines.Docker(PARAMETERS, False).restart({"api"}, containers())
    (forced,) = (words for words in says.asked if "--force-recreate" in words)
    assert forced[-2:] == ["--force-recreate", "api"]
    assert "--no-deps" not in forced  # its definition would be another one than that of the next `up`
