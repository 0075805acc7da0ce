"""An API that blames itself for what failed before its Engine started is not right; one that failed by itself is."""

import json

import pytest

from tests.applied.test_containers import container

EARLIER, LATER = "2026-11-26T10:00:00.5Z", "2026-11-26T10:00:01.25Z"


@pytest.fixture
def url(host, docker, web):
    """Where a recorded API says of itself that it is well, with both containers running since EARLIER."""
    docker["/containers/deepgram-api/json"] = docker["/containers/deepgram-engine/json"] = since(EARLIER)
    web.table["/v1/status"] = (200, '{"system_health": "Healthy"}')
    names = {"deepgram-engine": [], "deepgram-api": []}
    url = f"http://127.0.0.1:{web.port}/v1/status"
    host.record(containers={"engine": "docker", "names": names}, answers=[url])
    assert host.drift() == []
    return url


def since(moment, **what):
    return 200, json.dumps(container(started=moment, **what))


@pytest.mark.parametrize("state", ["Degraded", "Critical"])
def test_an_engine_that_came_back_by_itself(host, docker, web, url, state):
    docker["/containers/deepgram-engine/json"] = since(LATER)
    assert host.drift() == []
    web.table["/v1/status"] = (200, json.dumps({"system_health": state}))
    assert host.drift() == [f"container deepgram-api: is {state} of requests that failed before"]


@pytest.mark.parametrize("reported", ['{"system_health": "Critical"}', "Critical", '["Critical"]'])
def test_an_engine_that_was_there_all_the_time(host, web, url, reported):
    web.table["/v1/status"] = (200, reported)
    assert host.drift() == []


@pytest.mark.parametrize("name", ["engine", "api"])
def test_a_container_that_does_not_run_is_what_is_wrong(host, docker, web, url, name):
    web.table["/v1/status"] = (200, '{"system_health": "Critical"}')
    docker["/containers/deepgram-engine/json"] = since(LATER)
    docker[f"/containers/deepgram-{name}/json"] = since(LATER, state="exited")
    assert host.drift() == [f"container deepgram-{name}: is exited instead of running"]


@pytest.mark.parametrize(
    ("state", "active", "found"),
    [
        ("Critical", 0, ["container deepgram-api: is Critical of requests that failed before"]),
        ("Degraded", 0, ["container deepgram-api: is Degraded of requests that failed before"]),
        ("Critical", 1, []),  # what becomes of these will change its mind
        ("Healthy", 0, []),
    ],
)
def test_an_api_whose_engines_are_elsewhere(host, docker, web, state, active, found):
    docker["/containers/deepgram-api/json"] = since(EARLIER)
    web.table["/v1/status"] = (200, json.dumps({"system_health": state, "active_batch_requests": active}))
    url = f"http://127.0.0.1:{web.port}/v1/status"
    host.record(containers={"engine": "docker", "names": {"deepgram-api": []}}, answers=[url])
    assert host.drift() == found
