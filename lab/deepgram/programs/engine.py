"""impeller, the Engine: loads models, hears sound for the API, counts what it does."""

from __future__ import annotations

import asyncio
import json
import time

from aiohttp import WSMsgType, web

from . import gpu
from .audio import AudioReader, NotAudio
from .autoload import Models
from .licence import Licence
from .logs import Fatal, Log
from .metrics import CONTENT_TYPE, Metrics
from .model_file import Model
from .release import HERE, Release, check_certificates, serving_tls
from .serving import Listener as HttpListener
from .serving import run, stop_on_signals, unless_stopped, until_stopped
from .settings import Settings
from .transcripts import Listener, load_recordings

SPEED = 300  # times faster than the sound lasts, as a GPU with a warm model would be
STREAM_INFERENCE_S = 0.03


class Busy(Exception):
    """`max_active_requests` is reached; the API tries elsewhere, or later."""


class Engine:
    """The requests of one Engine. `hear_file` and `hear_stream` are the API's calls."""

    def __init__(self, settings: Settings, models: Models, known: dict):
        self._limit = int(settings.number("max_active_requests", 0))
        self.metrics, self.models, self._known = Metrics(self._limit), models, known
        self.step_s = float(settings.number("chunking.streaming.step", 1.0))

    def _admit(self, kind: str) -> None:
        if self._limit and sum(self.metrics.active.values()) >= self._limit:
            self.metrics.refused(kind, 503)
            raise Busy
        self.metrics.start(kind)

    def _model(self, request: web.Request, mode: str) -> Model | None:
        return self.models.find(request.query.get("model", ""), request.query.get("language", ""), mode)

    async def hear_file(self, request: web.Request) -> web.Response:
        try:
            self._admit("batch")
        except Busy:
            return web.json_response({"reason": "busy"}, status=503)
        status = 500
        try:
            answer = await self._hear_file(request)
            status = answer.status
            return answer
        finally:
            self.metrics.finish("batch", status)

    async def _hear_file(self, request: web.Request) -> web.Response:
        begin, model = time.monotonic(), self._model(request, "batch")
        if model is None:
            return web.json_response({"reason": "no model"}, status=404)
        reader, words, listeners = _reader(request), [], []

        def hear(chunks) -> None:
            for samples, seconds in chunks:
                while len(listeners) < len(samples):
                    listeners.append(Listener(self._known))
                    words.append([])
                for own, listener, heard in zip(words, listeners, samples, strict=True):
                    own += listener.hear(heard, seconds, reader.linear)[0]

        try:
            async for data in request.content.iter_chunked(1 << 18):
                hear(reader.feed(data))
                await asyncio.sleep(0)
            hear(reader.end())
        except NotAudio as error:
            return web.json_response({"reason": "not audio", "detail": str(error)}, status=400)
        await asyncio.sleep(max(0.0, reader.duration / SPEED - (time.monotonic() - begin)))
        self.metrics.observe_file(reader.duration, time.monotonic() - begin)
        return web.json_response(
            {
                "duration": round(reader.duration, 6),
                "sha256": reader.sha256,
                "model": model.as_json(),
                "channels": [[word.as_json() for word in own] for own in words or [[]]],
            }
        )

    async def hear_stream(self, request: web.Request) -> web.StreamResponse:
        begin, model = time.monotonic(), self._model(request, "streaming")
        if model is None:
            return web.json_response({"reason": "no model"}, status=404)
        try:
            self._admit("stream")
        except Busy:
            return web.json_response({"reason": "busy"}, status=503)
        socket, status = web.WebSocketResponse(max_msg_size=0, compress=False), 500
        try:
            await socket.prepare(request)
            self.metrics.observe("engine_stream_connection_latency_seconds", time.monotonic() - begin)
            await socket.send_json({"type": "open", "model": model.as_json(), "step": self.step_s})
            await self._hear_stream(socket, _reader(request))
            status = 200
        finally:
            self.metrics.finish("stream", status)
        return socket

    async def _hear_stream(self, socket: web.WebSocketResponse, reader: AudioReader) -> None:
        listeners: list[Listener] = []

        async def hear(chunks) -> None:
            for samples, seconds in chunks:
                begin = time.monotonic()
                while len(listeners) < len(samples):
                    listeners.append(Listener(self._known))
                await asyncio.sleep(min(STREAM_INFERENCE_S, seconds / 10))
                for channel, (listener, heard) in enumerate(zip(listeners, samples, strict=True)):
                    words, silent = listener.hear(heard, seconds, reader.linear)
                    shown = [word.as_json() for word in words]
                    event = {"type": "heard", "channel": channel, "channels": len(samples), "silent": silent}
                    await socket.send_json({**event, "until": round(listener.heard_s, 6), "words": shown})
                self.metrics.observe("engine_stream_latency", time.monotonic() - begin)

        async for message in socket:
            try:
                if message.type == WSMsgType.BINARY:
                    await hear(reader.feed(message.data))
                elif message.type == WSMsgType.TEXT:
                    asked = json.loads(message.data)["type"]
                    if asked == "close":
                        await hear(reader.end())
                    done = {"type": asked, "duration": reader.duration, "sha256": reader.sha256}
                    await socket.send_json({**done, "channels": reader.channels})
            except NotAudio as error:
                await socket.send_json({"type": "not audio", "detail": str(error)})
                return
            except ConnectionResetError:
                return


def _reader(request: web.Request) -> AudioReader:
    query = request.query
    return AudioReader(query.get("encoding", ""), _count(query, "sample_rate"), _count(query, "channels"))


def _count(query, name: str) -> int:
    text = query.get(name, "0")
    return int(text) if text.isdigit() else 0


def _applications(engine: Engine, release: Release) -> tuple[web.Application, web.Application]:
    async def models(_request: web.Request) -> web.Response:
        listed = [{**model.as_json(), "kind": model.kind} for model in engine.models.all]
        return web.json_response({"instance_id": release.instance_id, "models": listed})

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text=engine.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def certificates(_request: web.Request) -> web.Response:
        return web.json_response(release.certificates())

    work, watch = web.Application(), web.Application()
    work.add_routes([web.get("/v2/models", models), web.post("/v2/batch", engine.hear_file)])
    work.add_routes([web.get("/v2/stream", engine.hear_stream)])
    watch.add_routes([web.get("/metrics", metrics), web.get("/v1/certificates", certificates)])
    return work, watch


def _devices(settings: Settings, release: Release, log: Log) -> None:
    indices, reason = gpu.visible(release.driver_floor)
    if indices:
        log.info("impeller::config", "Using devices: " + ", ".join(f"Gpu({index})" for index in indices))
        return
    log.warn("impeller::config", f"No usable GPU: {reason}")
    if settings.flag("health.gpu_required", False):
        log.error("impeller::config", "GPU required by [health] gpu_required, but no GPU device is available")
        raise Fatal
    log.info("impeller::config", "Using devices: CPU")


async def serve(settings: Settings, release: Release, log: Log) -> int:
    stop = stop_on_signals("impeller", log)
    _devices(settings, release, log)
    check_certificates("impeller", release, log)
    licence = Licence("impeller", settings, release, log)
    await unless_stopped(stop, licence.start())
    models = Models(settings.list("model_manager.search_paths", ["/models"]), log)
    known = load_recordings(HERE / "recordings.json")
    engine = Engine(settings, models, known)
    work, watch = _applications(engine, release)
    host = settings.text("metrics_server.host", "0.0.0.0")
    metrics = HttpListener(watch, host, settings.number("metrics_server.port", 9991))
    await metrics.open()
    await unless_stopped(stop, models.scan())
    host = settings.text("server.host", "0.0.0.0")
    port = settings.number("server.port", 8080)
    listener = HttpListener(work, host, port, serving_tls(release))
    await listener.open()
    log.info("impeller", f"Listening on http://{host}:{port}")
    tasks = await until_stopped(stop, [licence.hold(stop), models.watch()])
    await listener.drain()
    await metrics.drain()
    for task in tasks:
        task.cancel()
    log.info("impeller", "All requests finished. Shutting down")
    return licence.exit_code


def main() -> None:
    gpu.need_libcuda("impeller")
    run("impeller", "Engine", serve)
