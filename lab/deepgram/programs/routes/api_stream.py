"""WebSocket /v1/listen: the client's sound to an Engine, the Engine's words to the client."""

from __future__ import annotations

import asyncio
import json

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, web

from .. import pool
from . import shapes
from .stream_results import Channel

IDLE_S = 10.0
IDLE_REASON = (
    "Deepgram did not receive audio data or a text message within the timeout window. "
    "See https://dpgr.am/net0001 NET-0001"
)
NOT_AUDIO_REASON = "The payload cannot be decoded as audio. DATA-0000"
_CLOSES = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


class Wrong(Exception):
    """The Engine has no such model."""


def connector(engines: pool.Pool, query: str):
    """An attempt for `Pool.offer`: opens a stream on one Engine."""

    async def attempt(engine: pool.Engine) -> tuple[pool.Engine, aiohttp.ClientWebSocketResponse]:
        try:
            return engine, await engines.session.ws_connect(f"{engine.url}/stream?{query}", max_msg_size=0)
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 404:
                raise Wrong from error
            raise pool.NoEngine from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            engine.models = None
            raise pool.NoEngine from error

    return attempt


class Stream:
    """One stream from its opening to its close; `run` returns the status that counts for the API's health."""

    def __init__(self, request: web.Request, request_id: str, engine: aiohttp.ClientWebSocketResponse):
        self._request, self._id, self._engine = request, request_id, engine
        self._client = web.WebSocketResponse(max_msg_size=0, compress=False)
        self._client.headers["dg-request-id"] = request_id
        self._channels: dict[int, Channel] = {}
        self._closing = self._finished = False

    @property
    def response(self) -> web.WebSocketResponse:
        return self._client

    async def run(self) -> int:
        opened = await self._engine.receive_json(timeout=30)
        self._model, self._step = opened["model"], opened["step"]
        await self._client.prepare(self._request)
        await self._greet()
        listening = asyncio.ensure_future(self._from_engine())
        speaking = asyncio.ensure_future(self._from_client())
        both = {listening, speaking}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if self._closing:
            await asyncio.wait({listening})
        lost = self._engine.closed and not self._finished
        for task in both:
            task.cancel()
        ends = await asyncio.gather(*both, return_exceptions=True)
        await self._engine.close()
        # A client that hangs up breaks a send: its own affair. Anything else that breaks is ours.
        odd = [end for end in ends if isinstance(end, Exception) and not isinstance(end, ConnectionError)]
        if (lost or odd) and not self._client.closed:
            await self._client.close(code=WSCloseCode.INTERNAL_ERROR, message=b"Internal server error")
        return 500 if lost or odd else 200

    async def _greet(self) -> None:
        """What the client is told before anything was heard: nothing here."""

    async def _from_client(self) -> None:
        while True:
            try:
                message = await self._client.receive(timeout=IDLE_S)
            except TimeoutError:
                await self._client.close(code=WSCloseCode.INTERNAL_ERROR, message=IDLE_REASON.encode())
                return
            if message.type in _CLOSES:
                return
            if message.type == WSMsgType.BINARY and message.data:
                await self._engine.send_bytes(message.data)
            elif await self._command(message):
                return

    async def _command(self, message) -> bool:
        """Obeys a text message; True when the client has ended its stream. An empty binary one ends it too."""
        if message.type == WSMsgType.BINARY:
            kind = "CloseStream"
        else:
            try:
                kind = json.loads(message.data)["type"]
            except (ValueError, TypeError, KeyError):
                kind = None
        if kind == "Finalize":
            await self._engine.send_json({"type": "finalize"})
        elif kind == "CloseStream":
            self._closing = True
            await self._engine.send_json({"type": "close"})
        elif kind not in ("KeepAlive", "Configure"):
            about = {"description": "Could not deserialize last text message", "message": str(message.data)}
            await self._client.send_json({"type": "Error", "variant": "SchemaError", **about})
        return kind == "CloseStream"

    async def _from_engine(self) -> None:
        async for message in self._engine:
            if message.type != WSMsgType.TEXT:
                continue
            event = json.loads(message.data)
            if event["type"] == "heard":
                await self._heard(event)
            elif event["type"] == "finalize":
                for channel in self._channels.values():
                    await self._client.send_json(channel.final(from_finalize=True))
            elif event["type"] == "not audio":
                self._finished = True
                await self._client.close(code=WSCloseCode.POLICY_VIOLATION, message=NOT_AUDIO_REASON.encode())
                return
            elif event["type"] == "close":
                await self._finish(event)
                return

    async def _heard(self, event: dict) -> None:
        query, index = self._request.query, event["channel"]
        several = shapes.asked(query, "multichannel")
        if index and not several:
            return
        if index not in self._channels:
            count = event["channels"] if several else 1
            self._channels[index] = Channel(query, index, count, self._model, self._id, self._step)
        for message in self._channels[index].heard(event["until"], event["silent"], event["words"]):
            await self._client.send_json(message)

    async def _finish(self, event: dict) -> None:
        self._finished = True
        for channel in self._channels.values():
            if channel.unfinished:
                await self._client.send_json(channel.final())
        await self._client.send_json(
            {
                "type": "Metadata",
                "transaction_key": "deprecated",
                "request_id": self._id,
                "sha256": event["sha256"],
                "created": shapes.now(),
                "duration": round(event["duration"], 6),
                "channels": event["channels"],
                "models": [self._model["uuid"]],
                "model_info": {self._model["uuid"]: shapes.model_info(self._model)},
            }
        )
        await self._client.close()
