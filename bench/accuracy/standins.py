"""The lab's API and Engine in this process, on loopback: without licences and GPUs, with a latency curve that is known."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from bench.ports import free_port
from lab.deepgram import certificates
from lab.deepgram.models import write_model
from lab.deepgram.programs import engine, release
from lab.deepgram.programs.api import Api
from lab.deepgram.programs.autoload import Models
from lab.deepgram.programs.inference.curve import Curve
from lab.deepgram.programs.inference.hearing import Hearing
from lab.deepgram.programs.inference.speaking import Speaking
from lab.deepgram.programs.inference.transcripts import load_recordings
from lab.deepgram.programs.logs import Log
from lab.deepgram.programs.model_file import Model
from lab.deepgram.programs.serving import Listener
from lab.deepgram.programs.settings import Settings

MODEL = "nova-3-general"
_FILE = Model(MODEL, ["en"], "streaming", "00000000-0000-4000-8000-00000000000b", "1", architecture="nova-3", size=5000)
_RELEASE = {"release": "release-260812", "versions": {}, "beginning_of_support": "2026-08-12T00:00:00+00:00"}


@dataclass
class Standins:
    """`port`: the API's; `curve`: of the Engine."""

    port: int
    curve: Curve


async def start(folder: Path, curve: str) -> Standins:
    """Both, once the API has its Engine. `curve`: as SIMULATED_STREAMS has it."""
    files, models = folder / "files", folder / "models"
    models.mkdir(parents=True)
    certificates.internal_ca(files)
    (files / "release.json").write_text(json.dumps(_RELEASE))
    write_model(models / f"{MODEL}.en.streaming.bbbbbbb.dg", _FILE)
    os.environ |= {"STANDIN_FILES": str(files), "STANDIN_DEV": str(folder), "SIMULATED_STREAMS": curve}
    about, log = release.load(), Log(verbosity=0, out=sys.stderr)
    port, hearing = await _engine(about, models, log)
    return Standins(await _api(about, port, log), hearing.curve)


async def _engine(about: release.Release, folder: Path, log: Log) -> tuple[int, Hearing]:
    settings, models = Settings({}), Models([str(folder)], log)
    await models.scan()
    hearing = Hearing(settings, models, load_recordings(release.HERE / "recordings.json"), 0, log)
    work, _ = engine._applications(hearing, Speaking(settings, models, hearing.metrics, 0, log), about)
    port = free_port()
    await Listener(work, "127.0.0.1", port, release.serving_tls(about)).open()
    return port, hearing


async def _api(about: release.Release, engine_port: int, log: Log) -> int:
    address = f"https://127.0.0.1:{engine_port}/v2"
    api = Api(Settings({"driver_pool": {"standard": [{"url": address}]}}), about, log)
    for driver in api.pool.drivers:
        await api.pool._refresh(driver)
    app, port = web.Application(), free_port()
    app.add_routes(api.routes("/v1"))
    await Listener(app, "127.0.0.1", port).open()
    return port
