"""File requests at a steady rate, however long the answers take."""

from __future__ import annotations

import asyncio
import time

from deepgram import AsyncDeepgramClient

from bench.load.client import cause
from bench.load.tally import Tally
from dgctl.bench.recording import Recording, words_of


class Files:
    """Sends the recording `rate` times a second, each on its own, until `stop` is set; then waits for the answers."""

    def __init__(self, client: AsyncDeepgramClient, model: str, recording: Recording, tally: Tally, rate: float):
        self._media, self._model, self._recording, self._tally = client.listen.v1.media, model, recording, tally
        self._rate = rate
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        started, number = time.monotonic(), 0
        while self._rate and not stop.is_set():
            late = time.monotonic() - started - number / self._rate
            if late < 0:
                await asyncio.sleep(-late)
                continue
            number += 1
            task = asyncio.create_task(self._one())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        await asyncio.gather(*self._running)

    async def _one(self) -> None:
        self._tally.files_sent += 1
        started = time.monotonic()
        try:
            # The SDK would hide a failure by trying again.
            answer = await self._media.transcribe_file(
                request=self._recording.file, model=self._model, request_options={"max_retries": 0}
            )
            heard = words_of(answer.results.channels[0].alternatives[0].transcript)
        except Exception as error:
            self._tally.failed("file", "request", cause(error), started)
            return
        if wrong := self._recording.missing(heard, 1):
            self._tally.failed("file", "words", wrong, started)
        else:
            self._tally.latencies.append(time.monotonic() - started)
