"""WebSocket /v2/listen: the client's sound to an Engine that runs Flux, its turns to the client."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType, web

from . import api_stream, shapes
from .flux_turns import Limits, Turns

GOODBYE_S = 5.0  # how long a client may take to answer the close
UNPARSABLE = "Text message received from client did not match any of the formats we expect."


def is_flux(model: str) -> bool:
    return model.startswith("flux-")


def wrong(query) -> tuple[str, str] | None:
    """Why Flux cannot do what a request's query asks for: (err_code, err_msg)."""
    if not is_flux(query.get("model", "")):
        return "Bad Request", shapes.NO_MODEL
    try:
        Limits().changed(query)
    except ValueError as error:
        return "INVALID_QUERY_PARAMETER", f"Invalid query parameter: {error}"
    return None


def query_string(query) -> str:
    """What an Engine needs of the request's query; Flux knows one channel and no `language`."""
    return urlencode({name: query[name] for name in ("model", "encoding", "sample_rate") if name in query})


class Stream(api_stream.Stream):
    """One Flux stream, whose query `wrong` has found right."""

    def __init__(self, request: web.Request, request_id: str, engine: aiohttp.ClientWebSocketResponse):
        super().__init__(request, request_id, engine)
        self._turns = Turns(Limits().changed(request.query), request_id)

    async def _greet(self) -> None:
        await self._client.send_json(self._turns.message("Connected"))

    async def _command(self, message) -> bool:
        """Obeys a text message; True when it ends the stream, as one that nobody understands does."""
        try:
            asked = json.loads(message.data)
            kind = asked["type"]
        except (ValueError, TypeError, KeyError):
            asked, kind = {}, None
        if kind == "CloseStream":
            self._closing = True
            self._turns.closing()
            await self._engine.send_json({"type": "close"})
        elif kind == "ForceEndTurn":
            await self._send(self._turns.forced())
        elif kind == "Configure":
            await self._client.send_json(self._configured(asked))
        else:
            error = {"code": "UNPARSABLE_CLIENT_MESSAGE", "description": UNPARSABLE}
            await self._client.send_json(self._turns.message("Error", **error))
            await self._close()
        return kind not in ("ForceEndTurn", "Configure")

    def _configured(self, asked: dict) -> dict:
        try:
            self._turns.limits = self._turns.limits.changed(asked.get("thresholds") or {})
        except (ValueError, TypeError, AttributeError) as error:
            return self._turns.message("ConfigureFailure", code="INVALID_THRESHOLDS", description=str(error))
        thresholds = {name: value for name, value in asdict(self._turns.limits).items() if value is not None}
        return self._turns.message("ConfigureSuccess", thresholds=thresholds, keyterms=asked.get("keyterms") or [])

    async def _heard(self, event: dict) -> None:
        if event["channel"] == 0:
            await self._send(self._turns.heard(event["until"], event["silent"], event["words"]))

    async def _send(self, messages) -> None:
        for message in messages:
            await self._client.send_json(message)

    async def _finish(self, event: dict) -> None:
        self._finished = True
        await self._close()

    async def _close(self) -> None:
        """Flux closes without a status code, which clients see as 1005."""
        await self._client.send_frame(b"", WSMsgType.CLOSE)
        with suppress(TimeoutError):
            await self._client.receive(timeout=GOODBYE_S)
