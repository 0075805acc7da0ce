"""The stand-ins at work: what they report, files, streams, callbacks, models that come and go."""

from __future__ import annotations

import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.ports import free_port

from .bench import get
from .calls import MODEL, TEXT, WAV, send_file, stream, transcript, until


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


def test_model_added_and_taken_away_while_running(bench, tmp_path):
    shutil.copy(next(bench.models.glob("*.batch.*.dg")), tmp_path)
    engine = bench.engine({"model_manager": {"search_paths": [str(tmp_path)]}})
    engine.wait_for("Listening on http")
    api = bench.api(engine)
    with pytest.raises(InvalidStatus), stream(api):
        pass
    added = shutil.copy(next(bench.models.glob("*.streaming.*.dg")), tmp_path)

    def streams() -> bool:
        return any(one["streaming"] for one in get(api, "/v1/models").json()["stt"])

    until(streams)
    with stream(api):
        pass
    Path(added).unlink()
    until(lambda: not streams())
    engine.kill()
    api.kill()


def test_silent_client_is_closed_after_ten_seconds(silent_client):
    thread, seen = silent_client
    thread.join(20)
    assert seen["code"] == 1011 and "NET-0001" in seen["reason"]
    assert 10.5 < seen["seconds"] < 13
