"""The real deepgram-sdk, unmodified, against the stand-in API: a file, and a stream."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from deepgram import DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from websockets.exceptions import InvalidStatus

AUDIO = Path(__file__).resolve().parents[2] / "dgctl" / "verify" / "audio"
WAV = AUDIO / "life-moves-pretty-fast.wav"
TEXT = (AUDIO / "life-moves-pretty-fast.txt").read_text().strip()
HEADER = 44


@pytest.fixture
def client(url):
    stream = url.replace("http", "ws", 1)
    places = DeepgramClientEnvironment(base=url, production=stream, agent=stream, agent_rest=url)
    return DeepgramClient(api_key="anything", environment=places)


def test_file(client):
    answer = client.listen.v1.media.transcribe_file(request=WAV.read_bytes(), model="nova-3", smart_format=True)
    best = answer.results.channels[0].alternatives[0]
    assert best.transcript.lower().replace(".", "").replace(",", "") == TEXT
    assert best.transcript.startswith("Life moves pretty fast. If you")
    assert best.words[0].word == "life" and 0 < best.words[0].start < best.words[0].end < 1
    assert best.paragraphs.paragraphs[0].num_words == len(TEXT.split())
    assert answer.metadata.duration == pytest.approx((WAV.stat().st_size - HEADER) / 32000)
    assert answer.metadata.models == ["00000000-0000-4000-8000-00000000000a"]


def test_file_without_model_name(client):
    with pytest.raises(ApiError) as caught:
        client.listen.v1.media.transcribe_file(request=WAV.read_bytes())
    assert caught.value.status_code == 400
    assert caught.value.body["err_msg"] == "Bad Request: No such model/language/tier combination found."


def test_stream(client):
    sound, heard, closed = WAV.read_bytes()[HEADER:], [], threading.Event()
    with client.listen.v1.connect(
        model="nova-3", encoding="linear16", sample_rate=16000, interim_results=True, punctuate=True
    ) as connection:
        connection.on(EventType.MESSAGE, heard.append)
        connection.on(EventType.CLOSE, lambda _: closed.set())
        threading.Thread(target=connection.start_listening, daemon=True).start()
        for at in range(0, len(sound), 8000):  # a quarter of a second at a time, ten times faster than it was spoken
            connection.send_media(sound[at : at + 8000])
            time.sleep(0.025)
        connection.send_close_stream()
        assert closed.wait(10)
    finals = [one for one in heard if one.type == "Results" and one.is_final]
    interims = [one for one in heard if one.type == "Results" and not one.is_final]
    spoken = " ".join(one.channel.alternatives[0].transcript for one in finals).split()
    assert " ".join(spoken).lower().replace(".", "").replace(",", "") == TEXT
    assert interims and len(interims[0].channel.alternatives[0].words) < len(TEXT.split()) / 2
    assert heard[-1].type == "Metadata" and heard[-1].duration == pytest.approx(len(sound) / 32000, abs=1e-3)


def test_finalize_gives_what_was_heard_so_far(client):
    sound = WAV.read_bytes()[HEADER : HEADER + 2 * 32000]
    heard: list = []
    with client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16000) as connection:
        connection.send_media(sound)
        connection.send_finalize()
        while not heard or not heard[-1].from_finalize:
            heard.append(connection.recv())
        connection.send_close_stream()
    assert any("life moves pretty" in one.channel.alternatives[0].transcript for one in heard)


def test_stream_of_a_model_that_is_not_there(client):
    with (
        pytest.raises(InvalidStatus) as caught,
        client.listen.v1.connect(model="nova-9", encoding="linear16", sample_rate=16000),
    ):
        pass
    assert caught.value.response.status_code == 400
    assert b"No such model/language/tier combination found." in caught.value.response.body
