"""The stand-ins at work: what they report, overload, retries, drain."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from conftest import free_port, get
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

AUDIO = Path(__file__).resolve().parents[2] / "dgctl" / "verify" / "audio"
WAV = AUDIO / "life-moves-pretty-fast.wav"
TEXT = (AUDIO / "life-moves-pretty-fast.txt").read_text().strip()
MODEL = "model=nova-3-general"


def stream(api, query: str = f"{MODEL}&encoding=linear16&sample_rate=16000"):
    return connect(f"ws://127.0.0.1:{api.ports['http']}/v1/listen?{query}")


def send_file(api, query: str = MODEL, content: bytes | None = None) -> httpx.Response:
    url = f"http://127.0.0.1:{api.ports['http']}/v1/listen?{query}"
    return httpx.post(url, content=WAV.read_bytes() if content is None else content, timeout=20)


def transcript(answer: httpx.Response) -> str:
    return answer.json()["results"]["channels"][0]["alternatives"][0]["transcript"]


def metric(engine, name: str) -> float:
    text = get(engine, "/metrics", "metrics").text
    return float(next(line for line in text.splitlines() if line.startswith(name + " ")).split()[1])


def until(true, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.03)


def test_models(pair):
    grouped = get(pair[1], "/v1/models").json()
    assert grouped.keys() == {"stt", "tts"}
    assert [(one["canonical_name"], one["batch"], one["streaming"]) for one in grouped["stt"]] == [
        ("nova-3-general", True, False),
        ("nova-3-general", False, True),
    ]
    uuid = grouped["stt"][0]["uuid"]
    assert get(pair[1], f"/v1/models/{uuid}").json() == grouped["stt"][0]
    assert get(pair[1], "/v1/models/none").status_code == 404


def test_certificates(pair):
    stamp = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.0 \+00:00:00")
    for program, port in ((pair[1], "http"), (pair[0], "metrics")):
        body = get(program, "/v1/certificates", port).json()
        assert all(
            stamp.fullmatch(body[f"{name}"]) for name in ("beginning_of_support", "end_of_support", "end_of_life")
        )
        assert body["instance_id"] in program.wait_for("Certificates information.")


def test_engine_probe_as_the_helm_chart_has_it(pair):
    body = get(pair[1], "/v1/status/engine").text
    assert re.match(r'^{"engine_connection_status":"Connected".*}$', body)


def test_metrics_appear_with_their_first_request(bench, pair):
    engine = bench.engine()
    engine.wait_for("Listening on http")
    at_start = get(engine, "/metrics", "metrics")
    assert at_start.headers["content-type"].startswith("application/openmetrics-text")
    assert at_start.text.endswith("# EOF\n") and "_bucket" not in at_start.text
    assert 'engine_active_requests{kind="batch"} 0' in at_start.text
    engine.kill()
    assert send_file(pair[1]).status_code == 200
    text = get(pair[0], "/metrics", "metrics").text
    assert 'engine_requests_total{kind="batch",response_status="2xx"}' in text
    assert 'engine_asr_per_file_realtime_factor_bucket{le="100.0"}' in text
    fast = float(re.search(r"engine_asr_per_file_realtime_factor_sum ([\d.]+)", text)[1])
    assert fast / float(re.search(r"engine_asr_per_file_realtime_factor_count (\d+)", text)[1]) > 20


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
        with pytest.raises(InvalidStatus) as caught:
            stream(api)
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
    sockets = [stream(api) for _ in range(4)]
    streams = [int(re.search(r'kind="stream"} (\d)', get(one, "/metrics", "metrics").text)[1]) for one in (full, free)]
    assert streams == [1, 3]
    for socket in sockets:
        socket.close()
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


def answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=2)
    except httpx.ConnectError:
        return False
    except httpx.HTTPError:
        return True
    return True


def test_sigint_drains_too(bench, pair):
    api = bench.api(pair[0])
    api.signal(2)
    assert api.ended() == 0


def test_stream_messages(pair):
    query = f"{MODEL}&interim_results=true&vad_events=true&utterance_end_ms=500&punctuate=true"
    with stream(pair[1], query) as socket:  # the WAV file with its header, and no word on encoding
        socket.send("nonsense")
        assert json.loads(socket.recv())["variant"] == "SchemaError"
        socket.send(WAV.read_bytes())
        socket.send('{"type":"CloseStream"}')
        messages = [json.loads(one) for one in socket]
    kinds = [one["type"] for one in messages]
    assert kinds[0] == "SpeechStarted" and kinds[-1] == "Metadata" and "UtteranceEnd" in kinds
    ends = [one for one in messages if one["type"] == "Results" and one["speech_final"]]
    assert ends[0]["channel"]["alternatives"][0]["transcript"] == "Life moves pretty fast."
    starts = [one["start"] for one in messages if one.get("is_final")]
    assert starts == sorted(starts) and starts[0] == 0


def test_stream_of_something_else(pair):
    with stream(pair[1], MODEL) as socket:
        socket.send(b"this is no sound at all" * 10)
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(timeout=5)
    assert caught.value.rcvd.code == 1008 and "DATA-0000" in caught.value.rcvd.reason


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


@pytest.mark.parametrize("content", [b"", b"no sound", b"RIFF....WAVEfmt "])
def test_file_of_something_else(pair, content):
    answer = send_file(pair[1], content=content)
    assert answer.status_code == 400
    assert "corrupt or unsupported data" in answer.json()["err_msg"]
    assert answer.json().keys() == {"err_code", "err_msg", "request_id"}


def test_options_of_a_file(pair):
    query = f"{MODEL}&utterances=true&diarize=true&detect_language=true&multichannel=true&tag=a&tag=b"
    body = send_file(pair[1], query).json()
    assert len(body["results"]["utterances"]) == 1
    assert body["results"]["channels"][0]["alternatives"][0]["words"][0]["speaker"] == 0
    assert body["results"]["channels"][0]["detected_language"] == "en"
    assert body["metadata"]["tags"] == ["a", "b"]
    assert send_file(pair[1], f"{MODEL}&language=fr").status_code == 400
    assert send_file(pair[1], f"{MODEL}&language=en-US").status_code == 200


class _Web(BaseHTTPRequestHandler):
    """Serves the recording, and keeps what is posted to it."""

    posted: list = []  # noqa: RUF012

    def do_GET(self):
        self.send_response(200 if self.path == "/a.wav" else 404)
        self.end_headers()
        self.wfile.write(WAV.read_bytes() if self.path == "/a.wav" else b"")

    def do_POST(self):
        self.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_url_and_callback(pair):
    server = HTTPServer(("127.0.0.1", free_port()), _Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"
    url = f"http://127.0.0.1:{pair[1].ports['http']}/v1/listen?{MODEL}"
    answer = httpx.post(url, json={"url": f"{here}/a.wav"}, timeout=10)
    assert transcript(answer) == TEXT
    answer = httpx.post(url, json={"url": f"{here}/none"}, timeout=10)
    assert (answer.status_code, answer.json()["err_code"]) == (400, "REMOTE_CONTENT_ERROR")
    assert httpx.post(url, json={"no": "url"}, timeout=10).status_code == 400
    answer = send_file(pair[1], f"{MODEL}&callback={here}/done")
    assert answer.json().keys() == {"request_id"}
    until(lambda: _Web.posted)
    assert _Web.posted[0]["metadata"]["request_id"] == answer.json()["request_id"]
    server.shutdown()


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


def test_model_added_and_taken_away_while_running(bench, tmp_path):
    shutil.copy(next(bench.models.glob("*.batch.*.dg")), tmp_path)
    engine = bench.engine({"model_manager": {"search_paths": [str(tmp_path)]}})
    engine.wait_for("Listening on http")
    api = bench.api(engine)
    with pytest.raises(InvalidStatus):
        stream(api)
    added = shutil.copy(next(bench.models.glob("*.streaming.*.dg")), tmp_path)

    def streams() -> bool:
        return any(one["streaming"] for one in get(api, "/v1/models").json()["stt"])

    until(streams)
    stream(api).close()
    Path(added).unlink()
    until(lambda: not streams())
    engine.kill()
    api.kill()


def test_silent_client_is_closed_after_ten_seconds(silent_client):
    thread, seen = silent_client
    thread.join(20)
    assert seen["code"] == 1011 and "NET-0001" in seen["reason"]
    assert 10.5 < seen["seconds"] < 13
