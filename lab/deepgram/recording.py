"""Makes the recording that `dgctl verify` transcribes, and the table by which the stand-in Engine knows it.

`python -m lab.deepgram.recording` needs espeak-ng; its three results are committed, so nobody else does:
dgctl/verify/audio/*.wav, *.txt and lab/deepgram/programs/recordings.json.
"""

from __future__ import annotations

import array
import ctypes
import hashlib
import json
import math
import re
import wave
from pathlib import Path

from .programs.inference.transcripts import CHUNK_S, chunk_key

TEXT = "life moves pretty fast if you do not stop and look around once in a while you could miss it"
SPOKEN = "Life moves pretty fast. If you do not stop and look around once in a while, you could miss it."
WORDS_A_MINUTE = 165
RATE = 16000
HERE = Path(__file__).resolve().parent
AUDIO = HERE.parents[1] / "dgctl" / "verify" / "audio"
TABLE = HERE / "programs" / "recordings.json"


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_int64),
    )


_LIST_TERMINATED, _WORD = 0, 1


def speak(text: str) -> tuple[int, array.array, dict[int, float]]:
    """Speaks a text with espeak-ng: sample rate (Hz), 16-bit samples, position in the text -> start (s)."""
    lib = ctypes.CDLL("libespeak-ng.so.1")
    synchronous, utf8, words_a_minute = 2, 1, 1
    rate = lib.espeak_Initialize(synchronous, 0, None, 0)
    lib.espeak_SetVoiceByName(b"en-us")
    lib.espeak_SetParameter(words_a_minute, WORDS_A_MINUTE, 0)
    samples, starts = array.array("h"), {}

    def collect(wav, count, events):
        if wav and count > 0:
            samples.frombytes(ctypes.string_at(wav, count * 2))
        index = 0
        while events[index].type != _LIST_TERMINATED:
            if events[index].type == _WORD:
                starts[events[index].text_position - 1] = events[index].audio_position / 1000
            index += 1
        return 0

    signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))
    callback = signature(collect)
    lib.espeak_SetSynthCallback(callback)
    encoded = text.encode()
    lib.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, utf8, None, None)
    return rate, samples, starts


def resample(samples: array.array, source: int, target: int, taps: int = 24) -> array.array:
    """Windowed-sinc resampling to a lower rate, without aliases that would blur the consonants."""
    ratio, cut = source / target, target / source * 0.95
    out = array.array("h")
    for index in range(int(len(samples) / ratio)):
        centre = index * ratio
        total = weight = 0.0
        for at in range(max(0, int(centre) - taps), min(len(samples), int(centre) + taps + 1)):
            distance = centre - at
            sinc = cut if distance == 0 else math.sin(math.pi * cut * distance) / (math.pi * distance)
            value = sinc * (0.5 + 0.5 * math.cos(math.pi * distance / (taps + 1)))
            total += samples[at] * value
            weight += value
        out.append(max(-32768, min(32767, round(total / weight))))
    return out


def trim(samples: array.array, rate: int, lead_s: float, tail_s: float) -> tuple[array.array, float]:
    """Sets the silence before and after the speech; also says by how much the speech moved (s)."""
    loud = [index for index, value in enumerate(samples) if abs(value) > 300]
    speech = samples[loud[0] : loud[-1] + 1]
    lead = array.array("h", [0] * int(lead_s * rate))
    tail = array.array("h", [0] * int(tail_s * rate))
    return lead + speech + tail, lead_s - loud[0] / rate


def speech_end(samples: array.array) -> float:
    return max(index for index, value in enumerate(samples) if abs(value) > 300) / RATE


def word_starts(text: str, events: dict[int, float], end: float) -> list[float]:
    """Start of each word (s); words that espeak-ng ran together ("in a") share their time by length."""
    words = [(match.start(), len(match.group())) for match in re.finditer(r"\S+", text)]
    known = [index for index, (position, _) in enumerate(words) if position in events]
    starts = []
    for first, following in zip(known, [*known[1:], len(words)], strict=True):
        begin = events[words[first][0]]
        until = events[words[following][0]] if following < len(words) else end
        letters = [length for _, length in words[first:following]]
        starts += [begin + (until - begin) * sum(letters[:at]) / sum(letters) for at in range(len(letters))]
    return starts


def table_entry(samples: array.array, starts: list[float], name: str) -> dict:
    """What the Engine needs to know a recording: the words with times (s), and the key of each chunk."""
    pcm = samples.tobytes()
    spoken, plain = SPOKEN.split(), TEXT.split()
    ends = [*starts[1:], speech_end(samples)]
    size = int(CHUNK_S * RATE) * 2
    return {
        "name": name,
        "sha256": hashlib.sha256(pcm).hexdigest(),
        "text": TEXT,
        "duration": len(samples) / RATE,
        "words": [
            {
                "word": word,
                "punctuated_word": shown,
                "start": round(start, 2),
                "end": round(min(end - 0.01, start + 0.45), 2),
            }
            for word, shown, start, end in zip(plain, spoken, starts, ends, strict=True)
        ],
        "chunks": [chunk_key(pcm[at : at + size]) for at in range(0, len(pcm), size)],
    }


def main() -> None:
    source, samples, starts = speak(SPOKEN)
    samples, shift = trim(resample(samples, source, RATE), RATE, lead_s=0.25, tail_s=0.75)
    AUDIO.mkdir(parents=True, exist_ok=True)
    name = "life-moves-pretty-fast"
    with wave.open(str(AUDIO / f"{name}.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.tobytes())
    (AUDIO / f"{name}.txt").write_text(TEXT + "\n")
    moved = {position: start + shift for position, start in starts.items()}
    entry = table_entry(samples, word_starts(SPOKEN, moved, speech_end(samples)), name)
    TABLE.write_text(json.dumps([entry], indent=1) + "\n")
    print(f"{name}: {entry['duration']:.2f} s, {len(entry['words'])} words, sha256 {entry['sha256']}")


if __name__ == "__main__":
    main()
