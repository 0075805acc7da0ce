"""The transcription client: against the lab's API behind TLS, and against servers that break in each way."""

import re
import socket
import threading
import time

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from dgctl.verify import speech, streams, tls
from tests.verify import loopback
from tests.verify.loopback import NAME, Forward, Service, Silent

MODEL = "nova-3-general"


@pytest.fixture(scope="module", params=["direct", "through a tunnel"])
def api(request, programs, tmp_path_factory):
    """The lab's API behind a TLS proxy with a self-signed certificate."""
    folder = tmp_path_factory.mktemp("tls")
    pem, file = loopback.self_signed(folder)
    tunnel = str(folder / "s") if "tunnel" in request.param else ""
    with Forward(loopback.server_context(file), programs, tunnel) as forward:
        # Nothing listens at the address at the end of the tunnel.
        yield tls.Proxy("192.0.2.1" if tunnel else "127.0.0.1", forward.port or 443, NAME, pem, tunnel)


@pytest.fixture(scope="module")
def programs(bench):
    """The port of an API of the lab with an Engine behind it."""
    engine = bench.engine()
    engine.wait_for("Listening on http")
    return bench.api(engine).ports["http"]


@pytest.fixture
def service(tmp_path, recording):
    """service(**how) -> a Proxy to a server that answers a stream with the known words, or as `how` says."""
    running = []

    def make(**how):
        pem, file = loopback.self_signed(tmp_path)
        made = Service(loopback.server_context(file), **{"words": recording.words} | how).__enter__()
        running.append(made)
        return tls.Proxy("127.0.0.1", made.port, NAME, pem)

    yield make
    for made in running:
        made.__exit__()


def test_the_shipped_recording_is_speech_of_known_words(recording):
    assert len(recording.words) > 10 and 3 < recording.seconds < 30


def test_a_file_is_transcribed(api, recording):
    heard = speech.transcribe_file(api, recording, MODEL, "en")
    assert (heard.problem, heard.share(recording)) == ("", 1.0)
    assert 0 < heard.seconds < 10


def test_a_stream_is_transcribed_faster_than_spoken_and_its_delay_measured(api, recording):
    heard = streams.transcribe_stream(api, recording, MODEL, "en")
    assert (heard.problem, heard.share(recording)) == ("", 1.0)
    assert recording.seconds / streams.SPEED * 0.9 < heard.seconds < recording.seconds
    assert len(heard.delays) > 3 and 0 <= heard.median_delay() < 2


def test_a_model_that_is_not_there_is_a_problem_in_the_service_s_words(api, recording):
    heard = speech.transcribe_file(api, recording, "nova-9", "en")
    assert "400" in heard.problem and "No such model" in heard.problem
    with pytest.raises(InvalidStatus) as caught:
        streams.transcribe_stream(api, recording, "nova-9", "en")
    assert "400" in speech.refusal(caught.value)


def test_words_of_another_recording_are_too_few(recording):
    heard = speech.Heard("The quick brown fox jumps over the lazy dog and could not stop.")
    assert heard.share(recording) < speech.ENOUGH_WORDS
    assert speech.Heard("").share(recording) == 0


def test_words_are_counted_once(recording):
    assert speech.Heard(" ".join(recording.words[:1] * 99)).share(recording) < 0.2


def test_punctuation_and_case_do_not_matter():
    assert speech.spoken("Life moves—pretty fast! Don't, you?") == [
        "life",
        "moves",
        "pretty",
        "fast",
        "don't",
        "you",
    ]


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (502, b"<h1>502 Bad Gateway</h1>\n<p>nginx</p>", "HTTP 502: 502 Bad Gateway nginx"),
        (429, b'{"category":"x","message":"Too many requests"}', "HTTP 429: Too many requests"),
        (200, b"<h1>Welcome</h1>", "HTTP 200 without a transcript: Welcome"),
    ],
)
def test_a_page_instead_of_a_transcript_is_a_problem(tmp_path, recording, status, body, problem):
    pem, file = loopback.self_signed(tmp_path)
    with loopback.page(loopback.server_context(file), status, body) as port:
        heard = speech.transcribe_file(tls.Proxy("127.0.0.1", port, NAME, pem), recording, MODEL, "en")
    assert heard.problem == problem


def test_no_connection_is_told_in_few_words(recording):
    with pytest.raises(httpx.HTTPError) as caught:
        speech.transcribe_file(tls.Proxy("127.0.0.1", 1, NAME), recording, MODEL, "en")
    assert "refused" in speech.refusal(caught.value)


def test_a_stream_that_breaks_is_a_problem(service, recording):
    problem = streams.transcribe_stream(service(close_early=True), recording, MODEL, "en").problem
    assert re.match(r"the stream broke after \d\.\d s and no messages: .*NET-0001", problem)


def test_a_stream_that_never_ends_is_a_problem(service, recording, monkeypatch):
    monkeypatch.setattr(streams, "_STREAM_LIMIT_S", 1)
    started = time.monotonic()
    heard = streams.transcribe_stream(service(never_close=True), recording, MODEL, "en")
    assert heard.problem.endswith("s: CloseStream sent, no messages") and "did not end within" in heard.problem
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("plain", [True, False])
def test_a_stream_that_nobody_answers_is_given_up(recording, monkeypatch, tmp_path, plain):
    """Behind it an API still looks for an Engine: it gets longer for that than a connection may take."""
    assert streams._ANSWER_LIMIT_S > 2 * tls.TIMEOUT_S
    monkeypatch.setattr(streams, "_ANSWER_LIMIT_S", 0.5)
    pem, file = loopback.self_signed(tmp_path)
    with Silent(None if plain else loopback.server_context(file)) as port:
        started = time.monotonic()
        way = tls.Proxy("127.0.0.1", port, NAME, pem, plain=plain)
        heard = streams.transcribe_stream(way, recording, MODEL, "en")
    assert heard.problem == "connected, but no answer to the request for /v1/listen within 0.5 s"
    assert time.monotonic() - started < Silent.SECONDS


def test_one_thread_reads_and_writes(service, recording, monkeypatch):
    """OpenSSL loses what one thread writes while another reads: a request in some hundred, and more under load."""
    way = service()

    def another(thread):
        raise AssertionError(f"{thread} was started")

    monkeypatch.setattr(threading.Thread, "start", another)
    assert streams.transcribe_stream(way, recording, MODEL, "en").share(recording) == 1.0


def test_no_connection_for_a_stream_is_told_as_such(recording, monkeypatch):
    def nobody(*_):
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", nobody)
    with pytest.raises(OSError) as caught:
        streams.transcribe_stream(tls.Proxy("192.0.2.1", 443, NAME), recording, MODEL, "en")
    assert speech.refusal(caught.value) == "no connection within 10 s"


def test_interim_words_do_not_count(service, recording):
    heard = streams.transcribe_stream(service(), recording, MODEL, "en")
    assert heard.share(recording) == 1.0 and "x" not in heard.text.split()
