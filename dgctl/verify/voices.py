"""Test requests of products that speak: a text through /v1/speak or /v2/speak, a greeting of the voice agent."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
from websockets.exceptions import WebSocketException

from dgctl.verify import speech, streams, tls

TEXT = "Life moves pretty fast. If you don't stop and look around once in a while, you could miss it."
RATE = 24_000  # samples a second, 16 bits each
LEAST_S = 1.0  # any voice takes longer for the text
_LIMIT_S = 60


@dataclass(frozen=True)
class Spoken:
    """What came back: seconds of sound, seconds until all was there, why it failed."""

    sound_s: float = 0.0
    seconds: float = 0.0
    problem: str = ""

    @property
    def is_enough(self) -> bool:
        return not self.problem and self.sound_s >= LEAST_S

    def __str__(self) -> str:
        return self.problem or f"{self.sound_s:.1f} s of sound in {self.seconds:.1f} s"


def query(model: str) -> dict[str, str]:
    """Of a request for samples alone: the first byte of an answer is sound, and no header of a container."""
    return {"model": model, "encoding": "linear16", "container": "none", "sample_rate": str(RATE)}


def speak(proxy: tls.Proxy, path: str, model: str) -> Spoken:
    """POST /v1/speak or /v2/speak for 16-bit samples. What is no sound comes back as `problem`."""
    started = time.monotonic()
    try:
        answer = speech.posted(proxy, f"{path}?{urlencode(query(model))}", json={"text": TEXT}, limit_s=_LIMIT_S)
    except httpx.HTTPError as error:
        return Spoken(problem=speech.refusal(error))
    took = time.monotonic() - started
    if answer.status_code != 200:
        return Spoken(seconds=took, problem=f"HTTP {answer.status_code}: {speech.complaint(answer)}")
    return Spoken(len(answer.content) / 2 / RATE, took)


def converse(proxy: tls.Proxy, voice: str, providers: dict[str, Any]) -> Spoken:
    """WebSocket /v1/agent/converse: welcomed, and where a language model is configured, greeted with sound."""
    try:
        return asyncio.run(_converse(proxy, _settings(voice, providers)))
    except TimeoutError:
        return Spoken(problem=f"no greeting within {_LIMIT_S} s")
    except (OSError, WebSocketException) as error:
        return Spoken(problem=speech.refusal(error))


def _settings(voice: str, providers: dict[str, Any]) -> dict[str, Any] | None:
    """The first message; None where no language model is configured, without which an agent takes no settings."""
    models = [(name, model) for name, reported in providers.items() for model in (reported.get("models") or {})]
    if not models:
        return None
    provider, model = models[0]
    sound = {"encoding": "linear16", "sample_rate": RATE}
    return {
        "type": "Settings",
        "audio": {"input": {**sound, "sample_rate": 16_000}, "output": {**sound, "container": "none"}},
        "agent": {
            "listen": {"provider": {"type": "deepgram", "model": "nova-3"}},
            "think": {"provider": {"type": provider, "model": model}},
            "speak": {"provider": {"type": "deepgram", "model": voice}},
            "greeting": TEXT,
        },
    }


async def _converse(proxy: tls.Proxy, settings: dict[str, Any] | None) -> Spoken:
    started, sound = time.monotonic(), 0
    async with asyncio.timeout(_LIMIT_S), streams.opening(proxy, "/v1/agent/converse") as socket:
        while True:
            message = await socket.recv()
            if isinstance(message, bytes):
                sound += len(message)
                continue
            reported = json.loads(message)
            if reported.get("type") == "Welcome" and settings is None:
                return Spoken(LEAST_S, time.monotonic() - started)
            if reported.get("type") == "Welcome":
                await socket.send(json.dumps(settings))
            elif reported.get("type") == "Error":
                return Spoken(problem=str(reported.get("description") or reported)[:300])
            elif reported.get("type") == "AgentAudioDone":
                return Spoken(sound / 2 / RATE, time.monotonic() - started)
