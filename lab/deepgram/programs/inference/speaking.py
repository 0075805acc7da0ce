"""The Engine's other work: text in, sound out; Aura-2 by its environment, Flux TTS by `[flux_tts]`. A tone, not a voice."""

from __future__ import annotations

import math
import os
import struct

from aiohttp import web

from ..autoload import Models
from ..logs import Fatal, Log
from ..model_file import Model
from ..release import Release
from ..settings import Settings
from . import gpu
from .metrics import Metrics

RATE = 24_000  # samples a second, as Aura's linear16 by default
CHARACTER_S = 0.06  # a spoken character lasts about so long
AURA = ("IMPELLER_AURA2_T2C_UUID", "IMPELLER_AURA2_C2A_UUID", "IMPELLER_AURA2_MAX_BATCH_SIZE")
WATERMARKED_FROM = 261001
NO_DEVICES = "insufficient devices for inferencer configuration: expected at least 1; found 1"


def tone(text: str, rate: int = RATE) -> bytes:
    """16-bit samples that last as long as the text would."""
    count = int(rate * max(0.25, CHARACTER_S * len(text)))
    return b"".join(struct.pack("<h", int(6000 * math.sin(2 * math.pi * 220 * n / rate))) for n in range(count))


class Speaking:
    """The text-to-speech requests of one Engine; `gpus` is how many it started with."""

    def __init__(self, settings: Settings, models: Models, metrics: Metrics, gpus: int, log: Log):
        self._aura = {name: os.environ[name] for name in AURA if os.environ.get(name)}
        self._flux = settings.flag("flux_tts.enabled", False)
        self._uuid = settings.text("flux_tts.uuid", "")
        self._batch = int(settings.number("flux_tts.max_batch_size", 0))
        self._watermarker = settings.text("flux_tts.watermarker_uuid", "")
        self._limit = int(settings.number("max_active_requests", 0))
        self._models, self._metrics, self._gpus, self._log = models, metrics, gpus, log

    def start(self, release: Release) -> None:
        """Fatal where what is configured cannot run, once the models are loaded."""
        wrong = self._wrong_flux(release) if self._flux else self._wrong_aura() if self._aura else ""
        if wrong:
            self._log.error("impeller", wrong)
            raise Fatal

    def _wrong_flux(self, release: Release) -> str:
        if self._aura:
            return "Flux TTS and Aura-2 cannot be configured on the same Engine"
        if not self._batch:
            return "flux_tts.max_batch_size must be non-zero"
        if not self._has(self._uuid):
            return f"Flux TTS model {self._uuid or '(no uuid)'} not found"
        dated = int("".join(filter(str.isdigit, release.tag))[:6] or 0)
        if dated >= WATERMARKED_FROM and not self._has(self._watermarker):
            return f"Flux TTS watermarker {self._watermarker or '(no watermarker_uuid)'} not found"
        return ""

    def _wrong_aura(self) -> str:
        if self._gpus < 2:
            return f"panicked: {NO_DEVICES}"
        missing = [name for name in AURA[:2] if not self._has(self._aura.get(name, ""))]
        return f"no model of the UUID in {missing[0]}" if missing else ""

    def _has(self, uuid: str) -> bool:
        return any(model.uuid == uuid for model in self._models.all)

    def _voice(self, name: str) -> Model | None:
        """The model that speaks with a voice: aura-2-thalia-en by its language, flux-haley-en on an Engine of Flux TTS."""
        language = name.rpartition("-")[2]
        kind = "flux-tts" if name.startswith("flux-") else "aura-t2c" if name.startswith("aura-2-") else ""
        uuid = (
            self._uuid
            if kind == "flux-tts" and self._flux
            else self._aura.get(AURA[0], "")
            if kind == "aura-t2c"
            else None
        )
        fits = [
            model
            for model in self._models.all
            if model.kind == kind and model.uuid == uuid and language in model.languages
        ]
        return fits[0] if fits else None

    async def speech(self, request: web.Request) -> web.Response:
        """Sound of a text as 16-bit samples; the voice's own model in a header."""
        voice = self._voice(request.query.get("model", ""))
        if voice is None:
            return web.json_response({"reason": "no model"}, status=404)
        if self._limit and sum(self._metrics.active.values()) >= self._limit:
            self._metrics.refused("tts", 503)
            return web.json_response({"reason": "busy"}, status=503)
        if gpu.openable() < self._gpus:
            self._metrics.refused("tts", 500)
            return web.json_response({"reason": "no GPU"}, status=500)
        self._metrics.start("tts")
        try:
            text = str((await request.json())["text"])
            rate = int(request.query.get("sample_rate") or RATE)
            headers = {"x-model-uuid": voice.uuid, "x-model-version": voice.version}
            return web.Response(body=tone(text, rate), headers=headers)
        finally:
            self._metrics.finish("tts", 200)
