"""The sound that is sent, and the words that must come back."""

from __future__ import annotations

import re
import wave
from dataclasses import dataclass
from pathlib import Path

AUDIO = Path(__file__).resolve().parents[1] / "verify/audio/life-moves-pretty-fast.wav"
RATE, BYTES_A_SECOND = 16000, 32000
# A round is filled up with silence to a multiple of this, so that each round in a stream sounds like the first.
UNIT = 8000


def words_of(text: str) -> list[str]:
    """The words of a transcript, without case and punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


@dataclass(frozen=True)
class Recording:
    """`file`: a WAV as it is; `round`: its samples (16-bit, 16 kHz, one channel), to be sent over and over."""

    file: bytes
    round: bytes
    words: list[str]

    @property
    def round_s(self) -> float:
        return len(self.round) / BYTES_A_SECOND

    def rounds(self, seconds: float) -> int:
        """How many rounds last about so long; one at least."""
        return max(1, round(seconds / self.round_s))

    def missing(self, heard: list[str], rounds: int, cut: bool = False) -> str:
        """What is wrong with what a stream has heard; empty when nothing is. `cut`: it was ended within its last round."""
        whole = self.words * rounds
        if heard == whole or (cut and heard == whole[: len(heard)]):
            return ""
        at = next((n for n, (one, other) in enumerate(zip(heard, whole, strict=False)) if one != other), None)
        where = min(len(heard), len(whole)) if at is None else at
        return f"{len(heard)} words for {len(whole)}; other from word {where + 1} on: {' '.join(heard[where:][:6])!r}"


def load(path: Path = AUDIO) -> Recording:
    with wave.open(str(path)) as sound:
        if (sound.getframerate(), sound.getsampwidth(), sound.getnchannels()) != (RATE, 2, 1):
            raise ValueError(f"{path}: not 16 kHz, 16 bit, one channel")
        samples = sound.readframes(sound.getnframes())
    silence = bytes(-len(samples) % UNIT)
    return Recording(path.read_bytes(), samples + silence, words_of(path.with_suffix(".txt").read_text()))
