"""How sound is cut and known: header differences do not matter, damage does."""

from __future__ import annotations

import io
import json
import struct
import wave
from itertools import pairwise
from pathlib import Path

import pytest

from lab.deepgram.programs.inference import transcripts
from lab.deepgram.programs.inference.audio import AudioReader, NotAudio

ROOT = Path(__file__).resolve().parents[2]
WAV = ROOT / "dgctl" / "verify" / "audio" / "life-moves-pretty-fast.wav"
TABLE = ROOT / "lab" / "deepgram" / "programs" / "recordings.json"
TEXT = WAV.with_suffix(".txt").read_text().strip()
PCM = WAV.read_bytes()[44:]


def hear(content: bytes, step: int = 1000, **request) -> list[transcripts.Word]:
    """What an Engine hears on the first channel when the bytes come in pieces of `step`."""
    reader, listener = AudioReader(**request), transcripts.Listener(transcripts.load_recordings(TABLE))
    words = []
    for at in range(0, len(content), step):
        for samples, seconds in reader.feed(content[at : at + step]):
            words += listener.hear(samples[0], seconds, reader.linear)[0]
    for samples, seconds in reader.end():
        words += listener.hear(samples[0], seconds, reader.linear)[0]
    return words


def text(words: list[transcripts.Word]) -> str:
    return " ".join(word.word for word in words)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def wav(*chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 0) + b"WAVE" + b"".join(chunks)


FMT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16))
EXTENSIBLE = chunk(
    b"fmt ",
    struct.pack("<HHIIHHHHIH", 0xFFFE, 1, 16000, 32000, 2, 16, 22, 16, 4, 1)
    + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71",
)


@pytest.mark.parametrize("step", [1, 999, 8000, 10**6])
def test_known_however_it_is_cut(step):
    assert text(hear(WAV.read_bytes(), step)) == TEXT


@pytest.mark.parametrize(
    "content",
    [
        wav(FMT, chunk(b"LIST", b"INFOabc"), chunk(b"data", PCM), chunk(b"LIST", b"after" * 2000)),
        wav(FMT, b"data\xff\xff\xff\xff" + PCM),
        wav(EXTENSIBLE, chunk(b"data", PCM)),
    ],
    ids=["tags before and after", "length unknown", "extensible"],
)
def test_headers_do_not_matter(content):
    assert text(hear(content)) == TEXT


def test_raw_samples():
    assert text(hear(PCM, encoding="linear16", sample_rate=16000)) == TEXT


def test_one_channel_of_two():
    out = io.BytesIO()
    with wave.open(out, "wb") as both:
        both.setnchannels(2)
        both.setsampwidth(2)
        both.setframerate(16000)
        both.writeframes(b"".join(PCM[at : at + 2] + b"\0\0" for at in range(0, len(PCM), 2)))
    assert text(hear(out.getvalue())) == TEXT


def test_damage_shows():
    damaged = bytearray(PCM)
    damaged[32000] ^= 0xFF
    heard = text(hear(bytes(damaged), encoding="linear16", sample_rate=16000))
    assert heard != TEXT and heard.startswith("life moves") and heard.endswith("miss it")
    assert text(hear(PCM[640:], encoding="linear16", sample_rate=16000)) != TEXT


def test_unknown_sound_gives_the_same_words_each_time():
    sound = bytes(range(256)) * 500
    first = hear(sound, 999, encoding="linear16", sample_rate=16000)
    assert first and first == hear(sound, 8000, encoding="linear16", sample_rate=16000)
    assert hear(bytes(64000), encoding="linear16", sample_rate=16000) == []


def test_words_come_as_their_time_passes():
    for seconds in (1, 3, 5):
        heard = hear(PCM[: seconds * 32000], encoding="linear16", sample_rate=16000)
        expected = [one["word"] for one in json.loads(TABLE.read_text())[0]["words"] if one["end"] <= seconds]
        assert [word.word for word in heard] == expected


def test_timings_fit_the_recording():
    words = hear(WAV.read_bytes())
    assert all(word.start < word.end for word in words)
    assert all(word.end <= following.start for word, following in pairwise(words))
    assert words[-1].end < len(PCM) / 32000


def test_other_containers_are_taken_by_their_bytes():
    assert hear(b"ID3" + bytes(range(256)) * 400) == hear(b"ID3" + bytes(range(256)) * 400, 77)


@pytest.mark.parametrize("content", [b"hello, this is text", b"", wav(chunk(b"data", PCM)), b"RIFF"])
def test_not_audio(content):
    with pytest.raises(NotAudio):
        hear(content)
