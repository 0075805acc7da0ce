"""Live streams at the pace of speech, one after the other in each slot."""

from __future__ import annotations

import asyncio
import contextlib
import time

from deepgram import AsyncDeepgramClient

from bench.load.client import cause
from bench.load.tally import Tally
from dgctl.bench.recording import BYTES_A_SECOND, RATE, Recording, words_of

PIECE_S = 0.25
PATIENCE_S = 30  # for connecting, and for the last words
RAMP_S = 4  # over which the first streams begin
AFTER_FAILURE_S = 1


class Streams:
    """`count` streams at a time, each of about `seconds` seconds."""

    def __init__(
        self, client: AsyncDeepgramClient, model: str, recording: Recording, tally: Tally, count: int, seconds: float
    ):
        self._listen, self._model, self._recording, self._tally = client.listen.v1, model, recording, tally
        self._count, self._rounds = count, recording.rounds(seconds)

    async def run(self, stop: asyncio.Event) -> None:
        self._stop = stop
        await asyncio.gather(*(self._slot(RAMP_S * number / self._count) for number in range(self._count)))

    async def _slot(self, after_s: float) -> None:
        await self._sleep(after_s)
        while not self._stop.is_set():
            if not await _Stream(self).run():
                await self._sleep(AFTER_FAILURE_S)

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


class _Stream:
    """One stream from its opening to the comparison of its words."""

    def __init__(self, streams: Streams):
        self._streams, self._tally, self._recording = streams, streams._tally, streams._recording
        self._heard: list[str] = []
        self._metadata = self._cut = False
        self._stage = "connect"

    async def run(self) -> bool:
        """True when every word came back, and the end as it should."""
        self._tally.streams_started += 1
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._streams._rounds * self._recording.round_s + PATIENCE_S):
                await self._talk()
            wrong = self._judge()
        except Exception as error:
            wrong = cause(error)
        if wrong:
            self._tally.failed("stream", self._stage, wrong, started)
        else:
            self._tally.streams_finished += 1
        return not wrong

    async def _talk(self) -> None:
        async with self._streams._listen.connect(
            model=self._streams._model, encoding="linear16", sample_rate=RATE
        ) as socket:
            self._stage = "listen"
            self._tally.opened()
            speaking = asyncio.create_task(self._speak(socket))
            try:
                async for message in socket:
                    self._take(message)
            finally:
                self._tally.live -= 1
                speaking.cancel()
                # Its own error is an echo of the one that ended the listening.
                await asyncio.gather(speaking, return_exceptions=True)

    async def _speak(self, socket) -> None:
        """Sends the rounds piece by piece, as fast as they sound."""
        size = int(PIECE_S * BYTES_A_SECOND)
        started, sent_s = time.monotonic(), 0.0
        for _ in range(self._streams._rounds):
            for at in range(0, len(self._recording.round), size):
                await asyncio.sleep(max(0.0, started + sent_s - time.monotonic()))
                if self._streams._stop.is_set():
                    self._cut = True
                    await socket.send_close_stream()
                    return
                piece = self._recording.round[at : at + size]
                await socket.send_media(piece)
                sent_s += len(piece) / BYTES_A_SECOND
        await socket.send_close_stream()

    def _take(self, message) -> None:
        kind = getattr(message, "type", "")
        if kind == "Results" and message.is_final:
            self._heard += words_of(message.channel.alternatives[0].transcript)
        self._metadata = self._metadata or kind == "Metadata"

    def _judge(self) -> str:
        if not self._metadata:
            return "closed without Metadata"
        self._stage = "words"
        return self._recording.missing(self._heard, self._streams._rounds, self._cut)
