"""Containers of Docker and of Podman."""

import json
import os
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from ansible.module_utils.containers import state as containers_state

IMAGE = "quay.io/deepgram/self-hosted-api@sha256:aaaa"


def container(image=IMAGE, image_id="sha256:1", definition="hash1", state="running", health="healthy", started=None):
    started = started or datetime.now(UTC).isoformat().replace("+00:00", "123Z")
    return {
        "Name": "/deepgram-api",
        "Image": image_id,
        "State": {"Status": state, "StartedAt": started, "Health": {"Status": health}},
        "Config": {"Image": image, "Labels": {"com.docker.compose.config-hash": definition}},
    }


@pytest.fixture
def api(host, docker):
    """api(**what): Docker has this container."""

    def be(**what):
        docker["/containers/deepgram-api/json"] = (200, json.dumps(container(**what)))

    be()
    host.record(containers={"engine": "docker", "names": {"deepgram-api": []}})
    assert host.drift() == []
    return be


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ({"state": "exited"}, "is exited instead of running"),
        ({"state": "restarting"}, "is restarting instead of running"),
        ({"health": "unhealthy"}, "is unhealthy"),
        ({"image": "x@sha256:b"}, f"runs image x@sha256:b instead of {IMAGE}"),
        ({"image_id": "sha256:2"}, f"runs another image of the name {IMAGE}"),
        ({"definition": "hash2"}, "was made from another definition"),
    ],
)
def test_each_difference(host, api, what, how):
    api(**what)
    assert host.drift() == [f"container deepgram-api: {how}"]


def test_one_that_starts_is_healthy(host, api):
    api(health="starting")
    assert host.drift() == []


def test_a_container_that_is_gone(host, api, docker):
    docker.clear()
    assert host.drift() == ["container deepgram-api: is not there"]


def test_a_docker_that_fails(host, api, docker):
    docker["/containers/deepgram-api/json"] = (500, "{}")
    assert host.drift() == ["container deepgram-api: cannot be inspected: Docker answers 500"]
    docker["/containers/deepgram-api/json"] = (200, "no JSON")
    assert host.drift()[0].startswith("container deepgram-api: cannot be inspected: Docker does not answer (")


def test_no_docker(host):
    host.record(containers={"engine": "docker", "names": {"deepgram-api": []}})
    (reported,) = host.drift()
    assert reported.startswith("container deepgram-api: cannot be inspected: Docker does not answer ([Errno 2]")


def test_one_that_was_not_there_when_the_role_ended(host, docker):
    host.record(containers={"engine": "docker", "names": {"deepgram-api": []}})
    docker["/containers/deepgram-api/json"] = (200, json.dumps(container()))
    assert host.drift()[0] == f"container deepgram-api: runs image {IMAGE} instead of none"


def test_a_file_written_after_its_start(host, docker):
    path = host.file("api.toml")
    ago = (datetime.now(UTC) - timedelta(seconds=5)).isoformat().replace("+00:00", "789Z")
    docker["/containers/deepgram-api/json"] = (200, json.dumps(container(started=ago)))
    os.utime(path, (time.time() - 10, time.time() - 10))
    host.record(containers={"engine": "docker", "names": {"deepgram-api": [path]}})
    assert host.drift() == []
    os.utime(path)
    assert host.drift() == [f"container deepgram-api: runs with an older {path}"]


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=3))])
@pytest.mark.parametrize(
    "text", ["2026-11-21T07:52:19{}", "2026-11-21T07:52:19.5{}", "2026-11-21T07:52:19.527768917{}"]
)
def test_dates(text, zone):
    offset = datetime.now(zone).isoformat()[-6:]
    moment = containers_state.moment(text.format(offset))
    plain = datetime(2026, 11, 21, 7, 52, 19, tzinfo=zone).timestamp()
    assert moment == pytest.approx(plain + float("0" + text[19:-2]), abs=1e-4)
    if zone is UTC:
        assert containers_state.moment(text.format("Z")) == moment


@pytest.fixture
def podman(host):
    """podman(*containers): these are what Podman finds."""

    def be(*containers):
        status = 0 if containers else 125
        host.program("podman", f"echo {chr(39)}{json.dumps(containers)}{chr(39)}; exit {status}\n")

    return be


def quadlet(**what):
    state = {"Status": "running", "StartedAt": "2026-11-21T07:52:19.5+01:00", "Healthcheck": {"Status": ""}}
    entry = {"Name": "deepgram-api", "Image": "abc", "ImageName": IMAGE, "State": state, "Config": {"Image": "abc"}}
    return {**entry, **what}


def test_podman(host, podman):
    podman(quadlet())
    host.record(containers={"engine": "podman", "names": {"deepgram-api": []}})
    assert host.drift() == []
    podman(quadlet(Image="def"))
    assert host.drift() == [f"container deepgram-api: runs another image of the name {IMAGE}"]
    podman()
    assert host.drift() == ["container deepgram-api: is not there"]
    host.program("podman", "exit 125\n")
    assert host.drift() == ["container deepgram-api: cannot be inspected: podman ended with status 125"]


def test_one_of_podman_that_was_started_in_another_way(host, podman):
    def started(*words):
        podman(quadlet(Config={"Image": "abc", "CreateCommand": ["podman", "run", *words]}))

    started("--rm", "--pull", "never", "image", "serve")
    host.record(containers={"engine": "podman", "names": {"deepgram-api": []}})
    started("--pull", "never", "--rm", "image", "serve")  # Quadlet's order is another one each time
    assert host.drift() == []
    started("image", "sleep")
    assert host.drift() == ["container deepgram-api: was made from another definition"]


ASKS = {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"], "Capabilities": [["gpu"]]}]}
UNKNOWN = "Failed to initialize NVML: Unknown Error"


@pytest.mark.parametrize(
    ("made", "script", "lost"),
    [
        (ASKS, f"echo '{UNKNOWN}'; exit 255", f"has lost its GPUs: {UNKNOWN}"),
        (ASKS, "echo 'No devices were found' >&2; exit 6", "has lost its GPUs: No devices were found"),
        (ASKS, "echo 'GPU 0: Tesla T4 (UUID: GPU-1)'", ""),
        (ASKS, "echo 'exec: \"nvidia-smi\": executable file not found in $PATH'; exit 127", ""),
        (ASKS, "exit 1", ""),
        ({}, f"echo '{UNKNOWN}'; exit 255", ""),  # it was never given one
    ],
)
def test_a_container_that_lost_its_gpus(host, docker, made, script, lost):
    docker["/containers/deepgram-api/json"] = (200, json.dumps(container() | {"HostConfig": made}))
    host.program("docker", 'test "$*" = "exec deepgram-api nvidia-smi -L" || exit 9\n' + script)
    host.record(containers={"engine": "docker", "names": {"deepgram-api": []}})
    assert host.drift() == ([f"container deepgram-api: {lost}"] if lost else [])


def test_one_that_does_not_run_is_not_asked_for_its_gpus(host, docker):
    docker["/containers/deepgram-api/json"] = (200, json.dumps(container() | {"HostConfig": ASKS}))
    host.program("docker", f"echo '{UNKNOWN}'; exit 255")
    host.record(containers={"engine": "docker", "names": {"deepgram-api": []}})
    docker["/containers/deepgram-api/json"] = (200, json.dumps(container(state="exited") | {"HostConfig": ASKS}))
    assert host.drift() == ["container deepgram-api: is exited instead of running"]
