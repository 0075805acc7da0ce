"""Files that come when they come, however long the answers take (Poisson): a queue that grows is seen, and not throttled.

A file's time runs from when it was due.
"""

from __future__ import annotations

import asyncio
import io
import random
import time
import wave

import httpx

from dgctl.bench import calls, recording
from dgctl.bench.job import Job
from dgctl.bench.window import Raw

ANSWER_LIMIT_S = 600


async def measure(job: Job) -> Raw:
    """The files of this job that are due before the window's end; waits for their answers."""
    raw, body, chance = Raw(), sound(job.file_s), random.Random(job.seed)
    async with calls.client(job, ANSWER_LIMIT_S) as client:
        running, due = [], job.begin
        while (due := due + chance.expovariate(job.load / 60)) < job.ends:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if due >= job.starts:
                raw.lags.append(time.monotonic() - due)
            running.append(asyncio.create_task(_file(client, job, raw, body, due)))
        await asyncio.gather(*running)
    return raw


def sound(seconds: float) -> bytes:
    """A WAV file of so many seconds of speech: the recording over and over."""
    one = recording.load().round
    size = int(seconds * recording.RATE) * 2
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(recording.RATE)
        out.writeframes((one * (size // len(one) + 1))[:size])
    return file.getvalue()


async def _file(client: httpx.AsyncClient, job: Job, raw: Raw, body: bytes, due: float) -> None:
    counts = job.starts <= due
    try:
        answer = await client.post(job.target, content=body, **calls.options(job, "audio/wav"))
        answer.raise_for_status()
        channels = answer.json()["results"]["channels"]
        words = recording.words_of(channels[0]["alternatives"][0]["transcript"])
    except httpx.HTTPStatusError as error:
        raw.fail(f"HTTP {error.response.status_code}", error.response.status_code in calls.BUSY)
        return
    except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
        raw.fail(f"{type(error).__name__}: {error}")
        return
    if counts:
        took = time.monotonic() - due
        raw.latencies.append((round(due - job.starts, 3), round(took, 4)))
        raw.factors.append(round(job.file_s / took, 2))
        rounds = int(job.file_s / recording.load().round_s)
        raw.words_reported += rounds * len(recording.load().words)
        raw.words_heard += min(len(words), rounds * len(recording.load().words))
