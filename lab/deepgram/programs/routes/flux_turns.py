"""Turns what the Engine hears into Flux's messages: Connected, and TurnInfo for every quarter of a second of sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

# Only a pause ends a turn here, surer the longer it is; the real model also listens to what was said.
SURE_AFTER_S = 0.7
SUREST = 0.99  # below the threshold of 1.0, with which no model ends a turn
RANGES = {"eot_threshold": (0.5, 1.0), "eager_eot_threshold": (0.3, 0.9), "eot_timeout_ms": (500, 60000)}


@dataclass(frozen=True)
class Limits:
    """When a turn ends; the names are those of the request's query and of `Configure`."""

    eot_threshold: float = 0.7
    eager_eot_threshold: float | None = None
    eot_timeout_ms: float = 5000

    def changed(self, asked: Mapping) -> Limits:
        """These limits with what `asked` names of them; ValueError for a value out of its range."""
        desired = {name: float(asked[name]) for name in RANGES if asked.get(name) is not None}
        for name, value in desired.items():
            low, high = RANGES[name]
            if not low <= value <= high:
                raise ValueError(f"`{name}` must be between {low} and {high}")
        return replace(self, **desired)


class Turns:
    """One stream's turns. Every message to the client is made here, because all are numbered."""

    def __init__(self, limits: Limits, request_id: str):
        self.limits, self._id = limits, request_id
        self._sequence = self._index = 0
        self._start = self._until = self._silence = 0.0
        self._words: list[dict] = []
        self._eager = self._closing = False

    def message(self, kind: str, **fields) -> dict:
        number, self._sequence = self._sequence, self._sequence + 1
        return {"type": kind, "request_id": self._id, "sequence_id": number, **fields}

    def closing(self) -> None:
        """After CloseStream no turn begins or ends any more: what is still heard comes as Updates."""
        self._closing = True

    def heard(self, until: float, silent: bool, words: list[dict]) -> Iterator[dict]:
        self._silence = self._silence + until - self._until if silent else 0.0
        self._until, started = until, bool(self._words)
        self._words += words
        if self._closing:
            yield self._info("Update")
        elif self._eager and not silent:
            self._eager = False
            yield self._info("TurnResumed")
        elif started and silent:
            yield from self._pause()
        else:
            yield self._info("StartOfTurn" if words and not started else "Update")

    def forced(self) -> Iterator[dict]:
        """ForceEndTurn; ignored while no turn goes on."""
        if self._words:
            yield self._end("manual")

    def _pause(self) -> Iterator[dict]:
        eager = self.limits.eager_eot_threshold
        soon = eager is not None and not self._eager and self._sure >= eager
        if soon:
            self._eager = True
            yield self._info("EagerEndOfTurn")
        if self._sure >= self.limits.eot_threshold:
            yield self._end("model")
        elif self._silence * 1000 >= self.limits.eot_timeout_ms:
            yield self._end("timeout")
        elif not soon:
            yield self._info("Update")

    @property
    def _sure(self) -> float:
        return min(SUREST, self._silence / SURE_AFTER_S) if self._words else 0.0

    def _end(self, trigger: str) -> dict:
        message = self._info("EndOfTurn") | {"trigger": trigger}
        self._index, self._start, self._silence = self._index + 1, self._until, 0.0
        self._words, self._eager = [], False
        return message

    def _info(self, event: str) -> dict:
        words = [{"word": word["punctuated_word"]} | _of(word, "confidence", "start", "end") for word in self._words]
        return self.message(
            "TurnInfo",
            event=event,
            turn_index=self._index,
            audio_window_start=round(self._start, 3),
            audio_window_end=round(self._until, 3),
            transcript=" ".join(word["word"] for word in words),
            words=words,
            end_of_turn_confidence=round(self._sure, 4),
        )


def _of(word: dict, *names: str) -> dict:
    return {name: word[name] for name in names}
