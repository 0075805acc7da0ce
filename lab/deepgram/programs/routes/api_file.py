"""POST /v1/listen: a sound file, or the URL of one, to an Engine; the transcript back, or to a callback."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from urllib.parse import urlencode, urlsplit

import aiohttp
from aiohttp import web

from .. import pool
from ..licence import why
from ..settings import Settings
from . import shapes

IN_MEMORY = 8 << 20  # bytes of a request that are kept in memory; the rest goes to disk
_BLOCK = 1 << 18


class Refused(Exception):
    """The request cannot be served: (status, err_code, err_msg)."""


class Files:
    """Batch requests of one API."""

    def __init__(self, settings: Settings, engines: pool.Pool):
        self._pool = engines
        self._spool = settings.text("features.disk_buffer_path") or None
        fetch = (
            settings.duration("server.fetch_timeout", "60s"),
            settings.duration("server.fetch_conn_timeout", "1s"),
        )
        back = (
            settings.duration("server.callback_timeout", "10s"),
            settings.duration("server.callback_conn_timeout", "1s"),
        )
        self._fetch_timeout = aiohttp.ClientTimeout(total=fetch[0], sock_connect=fetch[1])
        self._callback_timeout = aiohttp.ClientTimeout(total=back[0], sock_connect=back[1])

    async def take(self, request: web.Request):
        """The request's sound in a temporary file; Refused when there is none."""
        sound = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=self._spool)  # noqa: SIM115  (the caller closes it)
        try:
            if request.content_type == "application/json":
                await self._fetch(await request.text(), sound)
            else:
                await _save(request.content, sound)
            if not sound.tell():
                raise Refused(400, "Bad Request", "Bad Request: failed to process audio: corrupt or unsupported data")
        except BaseException:
            sound.close()
            raise
        return sound

    async def _fetch(self, body: str, sound) -> None:
        try:
            url = json.loads(body)["url"]
            if urlsplit(url).scheme not in ("http", "https"):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = "Bad Request: failed to parse the body: a JSON object with a `url` is expected"
            raise Refused(400, "Bad Request", message) from error
        try:
            async with (
                aiohttp.ClientSession(timeout=self._fetch_timeout, trust_env=True) as session,
                session.get(url) as answer,
            ):
                answer.raise_for_status()
                await _save(answer.content, sound)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            message = f"The remote server hosting the media could not be read: {why(error)}"
            raise Refused(400, "REMOTE_CONTENT_ERROR", message) from error

    async def transcribe(self, sound, query, request_id: str) -> dict:
        """The answer's body; Refused when no Engine can give it."""

        async def attempt(engine: pool.Engine) -> dict:
            engine.active += 1
            try:
                url = f"{engine.url}/batch?{query_string(query)}"
                async with self._pool.session.post(url, data=_blocks(sound)) as answer:
                    return _checked(answer.status, await answer.json())
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise pool.NoEngine from error
            finally:
                engine.active -= 1

        try:
            heard = await self._pool.offer(attempt, "batch")
        except pool.NoEngine as error:
            raise Refused(503, "SERVICE_UNAVAILABLE", "Service Unavailable: no Engine can take the request") from error
        return shapes.transcript(heard, query, request_id)

    async def call_back(self, url: str, method: str, body: dict) -> None:
        verb = "PUT" if method.lower() == "put" else "POST"
        async with (
            aiohttp.ClientSession(timeout=self._callback_timeout, trust_env=True) as session,
            session.request(verb, url, json=body) as answer,
        ):
            answer.raise_for_status()


def query_string(query) -> str:
    """What an Engine needs of the request's query."""
    desired = {name: query[name] for name in ("encoding", "sample_rate", "channels", "language") if name in query}
    desired["model"] = query.get("model", "base-general")
    if shapes.asked(query, "detect_language"):
        desired.pop("language", None)
    else:
        desired.setdefault("language", "en")
    return urlencode(desired)


def _checked(status: int, answer: dict) -> dict:
    if status == 404:
        raise Refused(400, "Bad Request", shapes.NO_MODEL)
    if status == 400:
        raise Refused(400, "Bad Request", f"Bad Request: failed to process audio: {answer['detail']}")
    if status != 200:
        raise pool.NoEngine
    return answer


async def _save(content: aiohttp.StreamReader, sound) -> None:
    async for data in content.iter_chunked(_BLOCK):
        sound.write(data)


async def _blocks(sound) -> AsyncIterator[bytes]:
    sound.seek(0)
    while data := sound.read(_BLOCK):
        yield data
        await asyncio.sleep(0)
