"""Turns what the Engine hears on one channel into the stream's messages: Results, SpeechStarted, UtteranceEnd."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from . import shapes

SEGMENT_S = 4.0  # without a pause, a final result comes this often
ENDPOINTING_MS = 10


def _milliseconds(text: str, default: int | None) -> int | None:
    return None if text == "false" else int(text) if text.isdigit() else default


class Channel:
    """One channel's words since its last final result."""

    def __init__(self, query: Mapping, index: int, count: int, model: dict, request_id: str, step_s: float):
        self._query, self._at, self._step = query, [index, count], step_s
        self._metadata = {
            "request_id": request_id,
            "model_info": shapes.model_info(model),
            "model_uuid": model["uuid"],
        }
        self._endpointing = _milliseconds(query.get("endpointing", ""), ENDPOINTING_MS)
        self._utterance_end = _milliseconds(query.get("utterance_end_ms", ""), None)
        self._interim, self._vad = shapes.asked(query, "interim_results"), shapes.asked(query, "vad_events")
        self._start = self._until = self._shown = self._silence = 0.0
        self._words: list[dict] = []
        self._last_word_end: float | None = None
        self._speaking = False

    def heard(self, until: float, silent: bool, words: list[dict]) -> Iterator[dict]:
        length, self._until = until - self._until, until
        self._silence = self._silence + length if silent else 0.0
        if not silent and not self._speaking and self._vad:
            yield {"type": "SpeechStarted", "channel": self._at, "timestamp": round(until - length, 3)}
        self._speaking = not silent
        self._words += words
        if words:
            self._last_word_end = words[-1]["end"]
        yield from self._results()
        yield from self._utterance_ended()

    def _results(self) -> Iterator[dict]:
        paused = self._endpointing is not None and self._silence * 1000 >= max(1, self._endpointing)
        if self._words and paused:
            yield self.final(speech_final=True)
        elif self._until - self._start >= SEGMENT_S:
            yield self.final()
        elif self._interim and self._until - self._shown >= self._step:
            self._shown = self._until
            yield self._result(is_final=False, speech_final=False)

    def _utterance_ended(self) -> Iterator[dict]:
        if self._utterance_end is None or self._last_word_end is None:
            return
        if (self._until - self._last_word_end) * 1000 >= self._utterance_end:
            yield {"type": "UtteranceEnd", "channel": self._at, "last_word_end": self._last_word_end}
            self._last_word_end = None

    @property
    def unfinished(self) -> bool:
        return self._until > self._start

    def final(self, speech_final: bool = False, from_finalize: bool = False) -> dict:
        message = self._result(True, speech_final, from_finalize)
        self._start = self._shown = self._until
        self._words = []
        return message

    def _result(self, is_final: bool, speech_final: bool, from_finalize: bool = False) -> dict:
        return {
            "type": "Results",
            "channel_index": self._at,
            "duration": round(self._until - self._start, 3),
            "start": round(self._start, 3),
            "is_final": is_final,
            "speech_final": speech_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [shapes.alternative(self._words, self._query)]},
            "metadata": self._metadata,
        }
