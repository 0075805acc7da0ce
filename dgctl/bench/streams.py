"""Live streams, each on a schedule of its own that nothing shifts: a client that is late is seen as that, and hides nothing.

The latency of a result is the time since the last sound that it covers was due to be sent, not since it was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import time
from collections import Counter
from typing import Any

from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import InvalidStatus, WebSocketException

from dgctl.bench import recording
from dgctl.bench.calls import BUSY
from dgctl.bench.job import Job
from dgctl.bench.window import Raw
from dgctl.verify import tls

CHUNK_S = 0.2  # as fine as a caller's; each send costs this machine
CHUNK_BYTES = int(recording.BYTES_A_SECOND * CHUNK_S)
OPEN_LIMIT_S, END_LIMIT_S = 30, 5
UNHEARD_S = 3.0  # of the sound before the end, words may still be on their way


async def measure(job: Job) -> Raw:
    """All streams of this job, from their opening to the window's end."""
    raw, sound, chance = Raw(), recording.load(), random.Random(job.seed)
    phases = [chance.uniform(0, job.ramp_s) for _ in range(job.load)]
    await asyncio.gather(*(_Stream(job, raw, sound).run(job.begin + phase) for phase in phases))
    return raw


class _Stream:
    def __init__(self, job: Job, raw: Raw, sound: recording.Recording):
        self.job, self.raw, self.sound = job, raw, sound
        self.heard: list[str] = []
        self.turns: dict[int, list[str]] = {}
        self.due = math.inf  # when the first sound is due: the schedule's zero
        self.closing = False

    async def run(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        try:
            async with asyncio.timeout(OPEN_LIMIT_S):
                socket = await _opened(self.job)
        except InvalidStatus as error:
            self.raw.fail(f"HTTP {error.response.status_code}", error.response.status_code in BUSY)
            return
        except (OSError, WebSocketException, TimeoutError) as error:
            self.raw.fail(f"{type(error).__name__}: {error}".strip(": "))
            return
        self.raw.opened += 1
        self.due = time.monotonic()
        await self._talk(socket)
        self._count_words()

    async def _talk(self, socket: ClientConnection) -> None:
        speaking = asyncio.create_task(self._speak(socket))
        try:
            async with asyncio.timeout(self.job.ends + END_LIMIT_S - time.monotonic()):
                async for message in socket:
                    self._take(json.loads(message))
            if not self.closing:
                self.raw.fail(f"closed: {socket.close_code} {socket.close_reason or ''}".strip())
        except TimeoutError:
            pass  # the window is over; what is still to come is nobody's measure
        except (OSError, WebSocketException, ValueError) as error:
            if not self.closing:
                self.raw.fail(f"{type(error).__name__}: {error}")
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)
            with contextlib.suppress(Exception):
                await socket.close()

    async def _speak(self, socket: ClientConnection) -> None:
        """Chunk k is due when its sound is complete, whatever became of the one before."""
        round_bytes, number = self.sound.round, 0
        while True:
            due = self.due + (number + 1) * CHUNK_S
            if due >= self.job.ends:
                break
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            late = time.monotonic() - due
            if due >= self.job.starts:
                self.raw.lags.append(late)
            at = number * CHUNK_BYTES % len(round_bytes)
            chunk = round_bytes[at : at + CHUNK_BYTES]
            await socket.send(chunk + round_bytes[: CHUNK_BYTES - len(chunk)])
            number += 1
        self.closing = True
        await socket.send('{"type":"CloseStream"}')

    def _take(self, reported: dict[str, Any]) -> None:
        now, kind = time.monotonic(), reported.get("type")
        if kind == "Results":
            covered = float(reported.get("start", 0)) + float(reported.get("duration", 0))
            if reported.get("is_final"):
                self.heard += recording.words_of(_transcript(reported))
        elif kind == "TurnInfo":
            covered = float(reported.get("audio_window_end", 0))
            self.turns[int(reported.get("turn_index", 0))] = recording.words_of(str(reported.get("transcript") or ""))
        else:
            return
        if self.job.starts <= now < self.job.ends:
            due = self.due + math.ceil(round(covered / CHUNK_S, 6)) * CHUNK_S
            self.raw.latencies.append((round(now - self.job.starts, 3), round(max(0.0, now - due), 5)))

    def _count_words(self) -> None:
        """The words of the rounds that were over a while before the end, as far as they were heard."""
        rounds = int((self.job.ends - self.due - UNHEARD_S) / self.sound.round_s)
        heard = Counter(self.heard + [word for turn in self.turns.values() for word in turn])
        reported = Counter(self.sound.words * max(0, rounds))
        self.raw.words_reported += reported.total()
        self.raw.words_heard += (heard & reported).total()


def _transcript(reported: dict[str, Any]) -> str:
    try:
        return str(reported["channel"]["alternatives"][0]["transcript"])
    except (KeyError, IndexError, TypeError):
        return ""


async def _opened(job: Job) -> ClientConnection:
    way = job.way
    options: dict[str, Any] = {
        "open_timeout": OPEN_LIMIT_S,
        "close_timeout": 1,
        "max_size": None,
        "ping_interval": None,
    }
    options |= {} if way.plain else {"ssl": tls.context(way), "server_hostname": way.name}
    uri = f"{'ws' if way.plain else 'wss'}://{way.authority}{job.target}"
    if way.tunnel:
        return await unix_connect(way.tunnel, uri, **options)
    return await connect(uri, host=way.address, port=way.port, proxy=None, **options)
