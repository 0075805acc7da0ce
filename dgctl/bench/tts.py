"""Texts to be spoken, on an absolute schedule, however long the answers take: one in each slot, at a random moment of it.

The latency of a request is the time from when it was due until the first byte of its sound is here.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass

import httpx

from dgctl.bench import calls
from dgctl.bench.job import Job
from dgctl.bench.window import Raw
from dgctl.verify.voices import LEAST_S, RATE, TEXT

ANSWER_LIMIT_S = 60
BODY = json.dumps({"text": TEXT}).encode()


@dataclass
class _Sound:
    """What has come of one answer: when its first and its last byte came, and how many there were."""

    first: float = 0.0
    last: float = 0.0
    size: int = 0

    @property
    def seconds(self) -> float:
        return self.size / 2 / RATE

    def problem(self) -> str:
        """Why a caller could not have used it; "" for good sound."""
        if self.seconds < LEAST_S:
            return f"{self.seconds:.1f} s of sound for {len(TEXT)} characters"
        # A caller plays it while it comes: what comes slower than that has gaps.
        if self.last - self.first > self.seconds:
            return f"slower than it plays: {self.last - self.first:.1f} s for {self.seconds:.1f} s of sound"
        return ""


async def measure(job: Job) -> Raw:
    """The requests of this job that are due before the window's end; waits for their answers."""
    raw = Raw()
    async with calls.client(job, ANSWER_LIMIT_S) as client:
        running = []
        for due in schedule(job):
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if due >= job.starts:
                raw.lags.append(time.monotonic() - due)
            running.append(asyncio.create_task(_request(client, job, raw, due)))
        await asyncio.gather(*running)
    return raw


def schedule(job: Job) -> list[float]:
    """When each request is due. A count that is exact in any window lets a bench find the same again; see docs/monitoring.md."""
    chance, slot = random.Random(job.seed), 60 / job.load
    found = [job.begin + (number + chance.random()) * slot for number in range(int((job.ends - job.begin) / slot) + 1)]
    return [due for due in found if due < job.ends]


async def _request(client: httpx.AsyncClient, job: Job, raw: Raw, due: float) -> None:
    try:
        sound = await _sound(client, job)
    except httpx.HTTPStatusError as error:
        raw.fail(f"HTTP {error.response.status_code}", error.response.status_code in calls.BUSY)
        return
    except httpx.HTTPError as error:
        raw.fail(f"{type(error).__name__}: {error}".strip(": "))
        return
    if problem := sound.problem():
        raw.fail(problem)
        return
    if job.starts <= due:
        raw.latencies.append((round(due - job.starts, 3), round(sound.first - due, 5)))
        raw.busy_s += sound.last - due


async def _sound(client: httpx.AsyncClient, job: Job) -> _Sound:
    found = _Sound()
    async with client.stream("POST", job.target, content=BODY, **calls.options(job, "application/json")) as answer:
        answer.raise_for_status()
        async for piece in answer.aiter_raw():
            found.last = time.monotonic()
            found.first = found.first or found.last
            found.size += len(piece)
    return found
