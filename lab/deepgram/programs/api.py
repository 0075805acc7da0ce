"""stem, the API: what clients, probes and operators talk to. It asks for no authentication, as the real one."""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid

import aiohttp
from aiohttp import web

from . import pool
from .health import Health
from .licence import Licence
from .logs import Log
from .release import Release, check_certificates
from .routes import api_agent, api_flux, api_speak, api_stream, shapes
from .routes.api_file import Files, Refused, query_string
from .serving import Listener, run, stop_on_signals, unless_stopped, until_stopped
from .settings import Settings


class Api:
    """The handlers of one API."""

    def __init__(self, settings: Settings, release: Release, log: Log):
        self._release, self._log = release, log
        self.pool = pool.Pool(settings, release, log)
        self.health = Health(int(settings.number("concurrency_limit.active_requests", 0)))
        self._files = Files(settings, self.pool)
        self._flux = settings.flag("features.listen_v2", False)
        self._speaks = {
            "/v1/speak": True,
            "/v1/speak stream": settings.flag("features.speak_streaming", True),
            "/v2/speak": settings.flag("features.speak_v2", False),
            "/v2/speak stream": settings.flag("features.speak_v2_streaming", False),
        }
        self.background: set[asyncio.Task] = set()

    def routes(self, base: str) -> list[web.RouteDef]:
        return [
            web.get(f"{base}/status", self._status),
            web.get(f"{base}/status/engine", self._engine_status),
            web.get(f"{base}/models", self._models),
            web.get(f"{base}/models/{{uuid}}", self._model),
            web.get(f"{base}/certificates", self._certificates),
            web.post(f"{base}/listen", self._listen),
            web.get(f"{base}/listen", self._stream),
            web.get(f"{base}/listen/stream", self._stream),
            web.get("/v2/listen", self._turns),
            web.post(f"{base}/speak", self._speak),
            web.get(f"{base}/speak", self._speak_stream),
            web.post("/v2/speak", self._speak),
            web.get("/v2/speak", self._speak_stream),
            web.get(f"{base}/agent/converse", self._converse),
        ]

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(self.health.body(self.pool.ever_connected), dumps=_compact)

    async def _engine_status(self, _request: web.Request) -> web.Response:
        connected = len(self.pool.connected)
        state = "Connected" if connected else "Disconnected"
        return web.json_response({"engine_connection_status": state, "connected_engines": connected}, dumps=_compact)

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response(shapes.models_by_type(self.pool.models()))

    async def _model(self, request: web.Request) -> web.Response:
        for model in self.pool.models():
            if model["uuid"] == request.match_info["uuid"]:
                return web.json_response({key: value for key, value in model.items() if key != "kind"})
        return shapes.error(404, "Not Found", "Not Found: no such model", str(uuid.uuid4()))

    async def _certificates(self, _request: web.Request) -> web.Response:
        return web.json_response(self._release.certificates())

    def _refusal(self, request_id: str) -> web.Response | None:
        if self.health.full:
            message = "Too many requests. Please try again later"
            return shapes.error(429, "TOO_MANY_REQUESTS", message, request_id)
        return None

    async def _listen(self, request: web.Request) -> web.Response:
        request_id = str(uuid.uuid4())
        if (refusal := self._refusal(request_id)) is not None:
            return refusal
        if api_flux.is_flux(request.query.get("model", "")):
            return shapes.error(400, *shapes.FLUX_ON_V1, request_id)
        callback = request.query.get("callback")
        try:
            with self.health.running("batch"):
                sound = await self._files.take(request)
                if not callback:
                    with sound:
                        body = await self._files.transcribe(sound, request.query, request_id)
                    self.health.ended(200)
                    return web.json_response(body, headers={"dg-request-id": request_id})
        except Exception as error:
            refused = error if isinstance(error, Refused) else Refused(500, "INTERNAL_SERVER_ERROR", str(error))
            self.health.ended(refused.args[0])
            self._log.warn("stem::listen", refused.args[2], request_id=request_id)
            return shapes.error(*refused.args, request_id)
        task = asyncio.ensure_future(self._later(sound, request, request_id, callback))
        self.background.add(task)
        task.add_done_callback(self.background.discard)
        return web.json_response({"request_id": request_id})

    async def _later(self, sound, request: web.Request, request_id: str, callback: str) -> None:
        with self.health.running("batch"), sound:
            try:
                body = await self._files.transcribe(sound, request.query, request_id)
                self.health.ended(200)
            except Refused as refused:
                self.health.ended(refused.args[0])
                body = {"err_code": refused.args[1], "err_msg": refused.args[2], "request_id": request_id}
        try:
            await self._files.call_back(callback, request.query.get("callback_method", "post"), body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._log.error("stem::callback", f"Callback failed: {error}", request_id=request_id)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if api_flux.is_flux(request.query.get("model", "")):
            return shapes.error(400, *shapes.FLUX_ON_V1, str(uuid.uuid4()))
        return await self._live(request, "stream", api_stream.Stream, query_string(request.query))

    async def _turns(self, request: web.Request) -> web.StreamResponse:
        request_id = str(uuid.uuid4())
        if not self._flux:
            return shapes.error(404, "Not Found", "Not Found: [features] listen_v2 is not enabled", request_id)
        if (wrong := api_flux.wrong(request.query)) is not None:
            return shapes.error(400, *wrong, request_id)
        return await self._live(request, "listen_v2_stream", api_flux.Stream, api_flux.query_string(request.query))

    async def _speak(self, request: web.Request) -> web.Response:
        request_id, flux = str(uuid.uuid4()), request.path.startswith("/v2")
        if not self._speaks["/v2/speak" if flux else "/v1/speak"]:
            return shapes.error(404, "Not Found", "Not Found: [features] speak_v2 is not enabled", request_id)
        if (refusal := self._refusal(request_id)) is not None:
            return refusal
        try:
            with self.health.running("batch"):
                answer = await api_speak.once(request, self.pool, "flux-" if flux else "aura-")
                self.health.ended(200)
                return answer
        except api_speak.Refused as refused:
            self.health.ended(refused.args[0])
            return shapes.error(*refused.args, request_id)

    async def _speak_stream(self, request: web.Request) -> web.StreamResponse:
        request_id, flux = str(uuid.uuid4()), request.path.startswith("/v2")
        if not self._speaks[f"/v{2 if flux else 1}/speak stream"]:
            return shapes.error(404, "Not Found", "Not Found: streaming of speech is not enabled", request_id)
        return await self._spoken(request, request_id, api_speak.Stream(request, self.pool, request_id, flux))

    async def _converse(self, request: web.Request) -> web.StreamResponse:
        request_id, missing = str(uuid.uuid4()), api_agent.attached(self.pool)
        if missing:
            return shapes.error(
                404, "Not Found", f"Not Found: no Engine for {', '.join(missing)} is attached", request_id
            )
        return await self._spoken(request, request_id, api_agent.Conversation(request, self.pool, request_id))

    async def _spoken(self, request: web.Request, request_id: str, talk) -> web.StreamResponse:
        """A WebSocket that is no stream of one Engine: each of its texts is offered again."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            message = "Method Not Allowed: a WebSocket upgrade is expected"
            return shapes.error(405, "Method Not Allowed", message, request_id)
        if (refusal := self._refusal(request_id)) is not None:
            return refusal
        with self.health.running("stream"):
            try:
                self.health.ended(await talk.run())
            except api_speak.Refused as refused:
                self.health.ended(refused.args[0])
                if not talk.response.prepared:
                    return shapes.error(*refused.args, request_id)
                await talk.response.close(code=1011, message=str(refused.args[1]).encode())
            return talk.response

    async def _live(self, request: web.Request, kind: str, stream_of, query: str) -> web.StreamResponse:
        """A stream of either kind: offers it to the Engines, and carries it until it ends."""
        request_id = str(uuid.uuid4())
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return shapes.error(
                405, "Method Not Allowed", "Method Not Allowed: a WebSocket upgrade is expected", request_id
            )
        if (refusal := self._refusal(request_id)) is not None:
            return refusal
        with self.health.running(kind):
            try:
                engine, socket = await self.pool.offer(api_stream.connector(self.pool, query))
            except api_stream.Wrong:
                return shapes.error(400, "Bad Request", shapes.NO_MODEL, request_id)
            except pool.NoEngine:
                self.health.ended(503)
                message = "Service Unavailable: no Engine can take the request"
                return shapes.error(503, "SERVICE_UNAVAILABLE", message, request_id)
            stream = stream_of(request, request_id, socket)
            engine.active += 1
            try:
                self.health.ended(await stream.run())
            finally:
                engine.active -= 1
                await socket.close()
            return stream.response


def _compact(body: dict) -> str:
    """JSON without spaces: probes grep for `"engine_connection_status":"Connected"`."""
    return json.dumps(body, separators=(",", ":"))


def _own_tls(settings: Settings) -> ssl.SSLContext | None:
    cert, key = settings.text("server.https.cert_file"), settings.text("server.https.key_file")
    if not cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key or None)
    return context


async def serve(settings: Settings, release: Release, log: Log) -> int:
    stop = stop_on_signals("stem", log)
    check_certificates("stem", release, log)
    licence = Licence("stem", settings, release, log)
    await unless_stopped(stop, licence.start())
    api = Api(settings, release, log)
    host, port = settings.text("server.host", "0.0.0.0"), settings.number("server.port", 8080)
    app = web.Application()
    app.add_routes(api.routes(settings.text("server.base_url", "/v1").rstrip("/")))
    listener = Listener(app, host, port, _own_tls(settings))
    await listener.open()
    log.info("stem", f"Listening on http://{host}:{port}")
    tasks = await until_stopped(stop, [licence.hold(stop), api.pool.watch()])
    await listener.drain()
    await asyncio.gather(*api.background)
    for task in tasks:
        task.cancel()
    await api.pool.close()
    log.info("stem", "All requests finished. Shutting down")
    return licence.exit_code


def main() -> None:
    run("stem", "API", serve)
