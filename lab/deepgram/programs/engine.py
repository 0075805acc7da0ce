"""impeller, the Engine: finds its GPU, loads models, listens for the API and for Prometheus."""

from __future__ import annotations

from aiohttp import web

from .autoload import Models
from .inference import gpu
from .inference.hearing import Hearing
from .inference.metrics import CONTENT_TYPE
from .inference.speaking import Speaking
from .inference.transcripts import load_recordings
from .licence import Licence
from .logs import Fatal, Log
from .release import HERE, Release, check_certificates, serving_tls
from .serving import Listener, run, stop_on_signals, unless_stopped, until_stopped
from .settings import Settings


def _applications(hearing: Hearing, speaking: Speaking, release: Release) -> tuple[web.Application, web.Application]:
    async def models(_request: web.Request) -> web.Response:
        listed = [{**model.as_json(), "kind": model.kind} for model in hearing.models.all]
        return web.json_response({"instance_id": release.instance_id, "models": listed})

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text=hearing.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def certificates(_request: web.Request) -> web.Response:
        return web.json_response(release.certificates())

    work, watch = web.Application(), web.Application()
    work.add_routes([web.get("/v2/models", models), web.post("/v2/batch", hearing.file)])
    work.add_routes([web.get("/v2/stream", hearing.stream), web.post("/v2/speech", speaking.speech)])
    watch.add_routes([web.get("/metrics", metrics), web.get("/v1/certificates", certificates)])
    return work, watch


def _devices(settings: Settings, release: Release, log: Log) -> int:
    """How many GPUs the Engine uses; 0 = it falls back to the CPU. Fatal when it must not."""
    indices, reason = gpu.visible(release.driver_floor)
    if indices:
        log.info("impeller::config", "Using devices: " + ", ".join(f"Gpu({index})" for index in indices))
        return len(indices)
    log.warn("impeller::config", f"No usable GPU: {reason}")
    if settings.flag("health.gpu_required", False):
        log.error("impeller::config", "GPU required by [health] gpu_required, but no GPU device is available")
        raise Fatal
    log.info("impeller::config", "Using devices: CPU")
    return 0


async def serve(settings: Settings, release: Release, log: Log) -> int:
    stop = stop_on_signals("impeller", log)
    gpus = _devices(settings, release, log)
    check_certificates("impeller", release, log)
    licence = Licence("impeller", settings, release, log)
    await unless_stopped(stop, licence.start())
    models = Models(settings.list("model_manager.search_paths", ["/models"]), log)
    hearing = Hearing(settings, models, load_recordings(HERE / "recordings.json"), gpus, log)
    speaking = Speaking(settings, models, hearing.metrics, gpus, log)
    work, watch = _applications(hearing, speaking, release)
    host = settings.text("metrics_server.host", "0.0.0.0")
    metrics = Listener(watch, host, settings.number("metrics_server.port", 9991))
    await metrics.open()
    await unless_stopped(stop, models.scan())
    hearing.prewarm()
    speaking.start(release)
    host = settings.text("server.host", "0.0.0.0")
    port = settings.number("server.port", 8080)
    listener = Listener(work, host, port, serving_tls(release))
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
