"""/v1/speak and /v2/speak: a text's sound as one answer, or as a stream of messages."""

from __future__ import annotations

import json
import struct
import uuid

import aiohttp
from aiohttp import WSMsgType, web

from .. import pool
from ..inference.speaking import RATE
from . import shapes

# A frame of MPEG-1 Layer III, 128 kbit/s, 44.1 kHz, of silence: the container that /v1/speak has by default.
SILENT_FRAME = bytes.fromhex("fffb9064") + bytes(413)
FRAME_S = 1152 / 44_100


class Refused(Exception):
    """(HTTP status, err_code, err_msg)."""


async def sound(engines: pool.Pool, model: str, text: str, rate: int) -> tuple[bytes, dict]:
    """16-bit samples of a text, and {uuid, version} of the voice's model. Raises Refused."""

    async def attempt(engine: pool.Engine) -> tuple[bytes, dict]:
        query = {"model": model, "sample_rate": str(rate)}
        try:
            async with engines.session.post(f"{engine.url}/speech", params=query, json={"text": text}) as answer:
                if answer.status == 404:
                    raise Refused(400, "Bad Request", shapes.NO_MODEL)
                if answer.status != 200:
                    raise pool.NoEngine
                about = {"uuid": answer.headers["x-model-uuid"], "version": answer.headers["x-model-version"]}
                return await answer.read(), about
        except (aiohttp.ClientError, OSError) as error:
            raise pool.NoEngine from error

    try:
        return await engines.offer(attempt, "tts")
    except pool.NoEngine:
        raise Refused(503, "SERVICE_UNAVAILABLE", "Service Unavailable: no Engine can take the request") from None


def contained(samples: bytes, query) -> tuple[bytes, str]:
    """(body, content type) in the container that was asked for."""
    encoding = query.get("encoding", "mp3")
    if encoding == "mp3":
        seconds = len(samples) / 2 / RATE
        return SILENT_FRAME * max(1, int(seconds / FRAME_S)), "audio/mpeg"
    if query.get("container", "wav") == "none":
        return samples, "audio/l16" if encoding == "linear16" else "audio/basic"
    rate = _rate(query)
    header = (
        b"RIFF"
        + struct.pack("<I", 36 + len(samples))
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * 2, 2, 16)
    )
    return header + b"data" + struct.pack("<I", len(samples)) + samples, "audio/wav"


def _rate(query) -> int:
    text = query.get("sample_rate", "")
    return int(text) if text.isdigit() else RATE


async def once(request: web.Request, engines: pool.Pool, prefix: str) -> web.Response:
    """POST: the whole sound. `prefix`: what the path's voices begin with. Raises Refused."""
    model = request.query.get("model", "aura-asteria-en")
    if not model.startswith(prefix):
        raise Refused(400, "Bad Request", shapes.NO_MODEL)
    try:
        text = (await request.json())["text"]
    except (ValueError, KeyError, TypeError):
        raise Refused(
            400, "Bad Request", "Bad Request: failed to process text: expected a JSON body with `text`"
        ) from None
    samples, about = await sound(engines, model, text, _rate(request.query))
    body, kind = contained(samples, request.query)
    headers = {"dg-request-id": str(uuid.uuid4()), "dg-model-name": model, "dg-model-uuid": about["uuid"]}
    headers["dg-char-count"] = str(len(text))
    return web.Response(body=body, content_type=kind, headers=headers)


class Stream:
    """WebSocket: texts in, sound and messages out; of /v2 with its own names."""

    def __init__(self, request: web.Request, engines: pool.Pool, request_id: str, flux: bool):
        self._request, self._engines, self._id, self._flux = request, engines, request_id, flux
        self._model, self._rate = request.query.get("model", ""), _rate(request.query)
        self._client = web.WebSocketResponse(compress=False)
        self._text, self._sequence = "", 0

    @property
    def response(self) -> web.WebSocketResponse:
        return self._client

    async def run(self) -> int:
        """Until the client closes it; the status that counts for the API's health."""
        _, about = await sound(self._engines, self._model, ".", self._rate)  # whether this voice can be had
        await self._client.prepare(self._request)
        await self._client.send_json(self._greeting(about))
        async for message in self._client:
            if message.type != WSMsgType.TEXT:
                continue
            asked = json.loads(message.data)
            kind = asked.get("type")
            if kind == "Speak":
                self._text += str(asked.get("text", ""))
            elif kind == "Flush":
                await self._speak()
            elif kind in ("Clear", "Interrupt"):
                self._text = ""
                await self._client.send_json({"type": "Cleared", "sequence_id": self._sequence})
            elif kind == "Close":
                if self._text:
                    await self._speak()
                await self._client.close()
            else:
                await self._client.send_json(
                    {"type": "Warning", "code": "UNPARSABLE", "description": "unknown message"}
                )
        return 200

    def _greeting(self, about: dict) -> dict:
        if self._flux:
            return {"type": "Connected", "request_id": self._id, "sequence_id": 0}
        return {
            "type": "Metadata", "request_id": self._id, "model_name": self._model, "model_version": about["version"],
            "model_uuid": about["uuid"],
        }  # fmt: skip

    async def _speak(self) -> None:
        text, self._text = self._text, ""
        samples, _ = await sound(self._engines, self._model, text, self._rate)
        speech = str(uuid.uuid4())
        if self._flux:
            await self._client.send_json({"type": "SpeechStarted", "speech_id": speech})
        for at in range(0, len(samples), 1 << 14):
            await self._client.send_bytes(samples[at : at + (1 << 14)])
        if self._flux:
            lasts = {"audio_duration_ms": int(len(samples) / 2 / self._rate * 1000), "input_character_count": len(text)}
            await self._client.send_json({"type": "SpeechMetadata", "speech_id": speech, **lasts})
        else:
            await self._client.send_json({"type": "Flushed", "sequence_id": self._sequence})
        self._sequence += 1
