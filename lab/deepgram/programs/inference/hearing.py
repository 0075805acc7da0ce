"""The Engine's work: sound from the API in, words out; refused above its limit or without its GPU."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterable, Iterator

from aiohttp import WSMsgType, web

from ..autoload import Models
from ..logs import Fatal, Log
from ..model_file import Model
from ..settings import Settings
from . import gpu
from .audio import AudioReader, NotAudio
from .curve import Curve
from .metrics import Metrics
from .transcripts import Listener, Word

SPEED = 300  # times faster than the sound lasts, as a GPU with a warm model would be
STREAM_INFERENCE_S = 0.025  # for a quarter of a second of sound


class Lanes:
    """The GPU's work on files. How an Engine shares its GPU is not published, so SIMULATED_FILES plays each plausible way:
    `queue N` (N at a time, the others wait in memory), `shared N` (all at a time, slower once there are more than N); empty: no
    file waits.
    """

    STEPS = 12  # in which a file that shares does its work

    def __init__(self, reported: str = ""):
        self._kind, _, count = reported.partition(" ")
        if self._kind not in ("", "queue", "shared") or (self._kind and not count.isdigit()):
            raise ValueError(f"SIMULATED_FILES is {reported!r}: queue N or shared N")
        self._count, self._here = int(count or 0), 0
        self._turn = asyncio.Semaphore(self._count) if self._kind == "queue" else None

    async def work(self, seconds: float) -> None:
        """Returns when so many seconds of the GPU's work are done."""
        if self._turn:
            async with self._turn:
                await asyncio.sleep(seconds)
        elif self._kind == "shared":
            await self._share(seconds)
        else:
            await asyncio.sleep(seconds)

    async def _share(self, seconds: float) -> None:
        self._here += 1
        try:
            for _ in range(self.STEPS):
                await asyncio.sleep(seconds / self.STEPS * max(1.0, self._here / self._count))
        finally:
            self._here -= 1


class Ears:
    """All channels of one request: bytes in, (channel, words, silent, heard until) out, a list for each chunk."""

    def __init__(self, query, known: dict):
        self.reader = AudioReader(query.get("encoding", ""), _count(query, "sample_rate"), _count(query, "channels"))
        self._known, self._listeners = known, []

    def feed(self, data: bytes) -> Iterator[list[tuple[int, list[Word], bool, float]]]:
        return self._hear(self.reader.feed(data))

    def end(self) -> Iterator[list[tuple[int, list[Word], bool, float]]]:
        return self._hear(self.reader.end())

    def _hear(self, chunks: Iterable) -> Iterator[list[tuple[int, list[Word], bool, float]]]:
        for samples, seconds in chunks:
            while len(self._listeners) < len(samples):
                self._listeners.append(Listener(self._known))
            heard = []
            for channel, (listener, sound) in enumerate(zip(self._listeners, samples, strict=True)):
                words, silent = listener.hear(sound, seconds, self.reader.linear)
                heard.append((channel, words, silent, listener.heard_s))
            yield heard


def _count(query, name: str) -> int:
    text = query.get(name, "0")
    return int(text) if text.isdigit() else 0


class Hearing:
    """The requests of one Engine; `gpus` is how many it started with, 0 = it runs on the CPU."""

    def __init__(self, settings: Settings, models: Models, known: dict, gpus: int, log: Log):
        self._limit = int(settings.number("max_active_requests", 0))
        self.metrics, self.models = Metrics(self._limit), models
        self._known, self._gpus, self._log = known, gpus, log
        self._lanes = Lanes(os.environ.get("SIMULATED_FILES", ""))
        streams = os.environ.get("SIMULATED_STREAMS", "")
        self.curve = Curve(streams) if streams else None
        self._step_s = float(settings.number("chunking.streaming.step", 1.0))
        self._flux = settings.text("flux.model_name", "flux-general-en") if settings.flag("flux.enabled", False) else ""
        self._flux_streams = int(settings.number("flux.max_streams", 0))

    def prewarm(self) -> None:
        """Looks for the model of `[flux]`, once the models are loaded; Fatal without it (the Flux page: it panics)."""
        if self._flux and self.models.find(self._flux, "", "streaming"):
            self._log.info("impeller::flux::prewarm", "Finished prewarming Flux model")
        elif self._flux:
            self._log.error("impeller::flux", f"Can't find {self._flux} model")
            raise Fatal

    def _streaming_model(self, query) -> Model | None:
        """The model that a stream asks for. Flux is an Engine's one Flux model, and only where `[flux]` enables it."""
        model = self.models.find(query.get("model", ""), query.get("language", ""), "streaming")
        return None if model and model.flux and model.name != self._flux else model

    def _refusal(self, kind: str, model: Model | None) -> web.Response | None:
        """Why a request cannot be served now, counted; None when it can, and `metrics.start` has counted it."""
        if model is None:
            return web.json_response({"reason": "no model"}, status=404)
        status, reason = 0, ""
        limit = self._flux_streams if model.flux else self._limit
        if limit and sum(self.metrics.active.values()) >= limit:
            status, reason = 503, "busy"
        elif gpu.openable() < self._gpus:  # gone while the Engine ran, as after a daemon-reload on the host
            status, reason = 500, "no GPU"
            self._log.error("impeller", "CUDA error: no CUDA-capable device is detected")
        if reason:
            self.metrics.refused(kind, status)
            return web.json_response({"reason": reason}, status=status)
        self.metrics.start(kind)
        return None

    async def file(self, request: web.Request) -> web.Response:
        model = self.models.find(request.query.get("model", ""), request.query.get("language", ""), "batch")
        if (refusal := self._refusal("batch", model)) is not None:
            return refusal
        status = 500
        try:
            answer = await self._file(request, model)
            status = answer.status
            return answer
        finally:
            self.metrics.finish("batch", status)

    async def _file(self, request: web.Request, model: Model) -> web.Response:
        begin, ears = time.monotonic(), Ears(request.query, self._known)
        channels: dict[int, list[dict]] = {0: []}

        def note(chunks) -> None:
            for channel, words, _, _ in (one for chunk in chunks for one in chunk):
                channels.setdefault(channel, []).extend(word.as_json() for word in words)

        try:
            async for data in request.content.iter_chunked(1 << 18):
                note(ears.feed(data))
                await asyncio.sleep(0)
            note(ears.end())
        except NotAudio as error:
            return web.json_response({"reason": "not audio", "detail": str(error)}, status=400)
        reader = ears.reader
        await self._lanes.work(max(0.0, reader.duration / SPEED - (time.monotonic() - begin)))
        self.metrics.observe_file(reader.duration, time.monotonic() - begin)
        about = {"duration": round(reader.duration, 6), "sha256": reader.sha256, "model": model.as_json()}
        return web.json_response({**about, "channels": list(channels.values())})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        begin = time.monotonic()
        model = self._streaming_model(request.query)
        if (refusal := self._refusal("stream", model)) is not None:
            return refusal
        socket, status = web.WebSocketResponse(max_msg_size=0, compress=False), 500
        try:
            await socket.prepare(request)
            self.metrics.observe("engine_stream_connection_latency_seconds", time.monotonic() - begin)
            await socket.send_json({"type": "open", "model": model.as_json(), "step": self._step_s})
            await self._stream(socket, Ears(request.query, self._known))
            status = 200
        except NotAudio as error:
            status = 400
            await socket.send_json({"type": "not audio", "detail": str(error)})
        except ConnectionError:  # the API hung up, because its client did
            status = 200
        finally:
            self.metrics.finish("stream", status)
        return socket

    async def _stream(self, socket: web.WebSocketResponse, ears: Ears) -> None:
        """Reads on while pieces are worked on: each is due so long after it came, whatever became of the one before."""
        arrived: asyncio.Queue = asyncio.Queue()
        reading = asyncio.create_task(_read(socket, arrived))
        try:
            while (one := await arrived.get()) is not None:
                at, message = one
                if message.type == WSMsgType.BINARY:
                    await self._tell(socket, ears.feed(message.data), at)
                elif message.type == WSMsgType.TEXT:
                    asked = json.loads(message.data)["type"]
                    if asked == "close":
                        await self._tell(socket, ears.end(), at)
                    reader = ears.reader
                    done = {"type": asked, "duration": reader.duration, "sha256": reader.sha256}
                    await socket.send_json({**done, "channels": reader.channels})
        finally:
            reading.cancel()

    async def _tell(self, socket: web.WebSocketResponse, chunks: Iterator, at: float) -> None:
        for chunk in chunks:
            begin = at if self.curve else time.monotonic()
            await asyncio.sleep(self._wait_s(at))
            for channel, words, silent, until in chunk:
                heard = {"channel": channel, "channels": len(chunk), "silent": silent, "until": round(until, 6)}
                await socket.send_json({"type": "heard", **heard, "words": [word.as_json() for word in words]})
            self.metrics.observe("engine_stream_latency", time.monotonic() - begin)

    def _wait_s(self, at: float) -> float:
        """Until a piece that came then is answered."""
        if not self.curve:
            return STREAM_INFERENCE_S
        now = time.monotonic()
        return max(0.0, at + self.curve.latency_s(self.metrics.active["stream"], now) - now)


async def _read(socket: web.WebSocketResponse, arrived: asyncio.Queue) -> None:
    """Notes when each message came; None at the end."""
    try:
        async for message in socket:
            arrived.put_nowait((time.monotonic(), message))
    finally:
        arrived.put_nowait(None)
