"""Overload, retries, losses and drain."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from .bench import get
from .calls import MODEL, TEXT, WAV, answers, metric, send_file, stream, transcript, until


def test_states(bench):
    """Ready, Healthy, Degraded, Critical: by the share of recent successes."""
    engine = bench.engine()
    engine.wait_for("Listening on http")
    api = bench.api(engine)

    def state() -> str:
        return get(api, "/v1/status").json()["system_health"]

    assert state() == "Ready"
    for _ in range(5):
        assert send_file(api).status_code == 200
    assert state() == "Healthy"
    assert send_file(api, "model=none").status_code == 400
    assert state() == "Healthy"
    engine.kill()
    seen = []
    for _ in range(8):
        assert send_file(api).status_code == 503
        seen.append(state())
    assert seen[0] == "Degraded" and seen[-1] == "Critical"
    assert get(api, "/v1/status/engine").json()["engine_connection_status"] == "Disconnected"
    api.kill()


def test_engine_overload_is_503_and_ends(bench):
    engine = bench.engine({"max_active_requests": 1})
    engine.wait_for("Listening on http")
    api = bench.api(engine)
    with stream(api) as socket:
        assert get(api, "/v1/status").json()["active_stream_requests"] == 1
        assert send_file(api).status_code == 503
        with pytest.raises(InvalidStatus) as caught, stream(api):
            pass
        assert caught.value.response.status_code == 503
        assert (
            'kind="batch",response_status="5xx"} 3' in get(engine, "/metrics", "metrics").text
        )  # one try, two retries
        socket.send('{"type":"CloseStream"}')
        list(socket)
    until(lambda: 'kind="stream"} 0' in get(engine, "/metrics", "metrics").text)
    assert transcript(send_file(api)) == TEXT
    engine.kill()
    api.kill()


def test_the_next_engine_is_tried(bench):
    full, free = bench.engine({"max_active_requests": 1}), bench.engine({"max_active_requests": 5})
    for engine in (full, free):
        engine.wait_for("Listening on http")
    api = bench.api(full, free)
    until(lambda: get(api, "/v1/status/engine").json()["connected_engines"] == 2)
    with ExitStack() as open_streams:
        for _ in range(4):
            open_streams.enter_context(stream(api))
        texts = [get(one, "/metrics", "metrics").text for one in (full, free)]
        assert [int(re.search(r'kind="stream"} (\d)', text)[1]) for text in texts] == [1, 3]
    for program in (full, free, api):
        program.kill()


def test_concurrency_limit_is_429(bench, pair):
    api = bench.api(pair[0], changes={"concurrency_limit": {"active_requests": 1}})
    with stream(api):
        assert send_file(api).status_code == 429
    until(lambda: send_file(api).status_code == 200)
    api.kill()


def test_drain_finishes_a_stream(bench):
    engine = bench.engine()
    engine.wait_for("Listening on http")
    api = bench.api(engine)
    sound = WAV.read_bytes()[44:]
    with stream(api, f"{MODEL}&encoding=linear16&sample_rate=16000&interim_results=true") as socket:
        socket.send(sound[:64000])
        socket.recv()
        engine.signal()
        api.signal()
        api.wait_for("Received SIGTERM")
        until(lambda: not answers(api.ports["http"]) and not answers(engine.ports["work"]))
        assert engine.process.poll() is None and api.process.poll() is None
        assert metric(engine, "engine_max_active_requests") == 0  # metrics are still there
        socket.send(sound[64000:])
        socket.send('{"type":"CloseStream"}')
        messages = [json.loads(one) for one in socket]
    assert messages[-1]["type"] == "Metadata"
    assert "could miss it" in " ".join(
        one["channel"]["alternatives"][0]["transcript"] for one in messages[:-1] if one["is_final"]
    )
    assert (engine.ended(), api.ended()) == (0, 0)


def test_sigint_drains_too(bench, pair):
    api = bench.api(pair[0])
    api.signal(2)
    assert api.ended() == 0


def test_engine_lost_in_the_middle_of_a_stream(bench):
    engine = bench.engine()
    engine.wait_for("Listening on http")
    api = bench.api(engine)
    with stream(api) as socket:
        engine.kill()
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(timeout=5)
    assert caught.value.rcvd.code == 1011
    api.kill()


def test_gpu_lost_while_running(bench, tmp_path):
    """As after a daemon-reload on the host: the containers run on, and every request fails."""
    (tmp_path / "nvidia0").touch()
    engine = bench.engine(STANDIN_DEV=str(tmp_path))
    engine.wait_for("Listening on http")
    api = bench.api(engine)
    assert send_file(api).status_code == 200
    (tmp_path / "nvidia0").unlink()
    assert send_file(api).status_code == 503
    engine.wait_for("CUDA error: no CUDA-capable device is detected")
    engine.kill()
    api.kill()
