"""An API that blames itself for what failed while its Engine was down starts anew; no other does."""

import pytest
from ansible.module_utils import deepgram_engines as engines

URLS = {"engine": "http://127.0.0.1:9/metrics", "api": "http://127.0.0.1:9/v1/status"}
PARAMETERS = {"files": {}, "urls": URLS, "directory": "/etc/deepgram", "stop_timeout_s": 1}


def containers(engine=None, **api):
    seen = {"running": True, "started": 100.0, "gpu": False, "pid": 0, "command": []}
    return {"engine": {**seen, "started": 200.0, **(engine or {})}, "api": {**seen, **api}}


@pytest.fixture
def says(monkeypatch):
    """says(health): what the API says of itself."""

    def be(health):
        answer = ({"system_health": health}, "") if health else (None, "no answer")
        monkeypatch.setattr(engines, "get_json", lambda url, timeout: answer if url == URLS["api"] else pytest.fail())

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
        ("Degraded", {"api": containers()["api"]}, set()),
    ],
)
def test_due(says, kind, health, seen, due):
    says(health)
    assert kind(PARAMETERS, False).due(seen) == due


def test_compose_is_made_to_do_it(says):
    says("Degraded")
    engines.Docker(PARAMETERS, False).restart({"api"}, containers())
    assert any(words[-2:] == ["--force-recreate", "api"] for words in says.asked)
