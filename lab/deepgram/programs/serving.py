"""Runs a program: its listeners, its background work, and the drain on SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable, Coroutine

from aiohttp import web

from . import command_line, release, settings
from .logs import Fatal, Log

NAMES = {"stem": "api.toml", "impeller": "engine.toml", "hermes": "license-proxy.toml", "billing": "billing.toml"}
_DRAIN_S = 10**6  # in-flight requests end when they end; the container engine sets the limit


class Listener:
    """One HTTP server: `open` it, `drain` it (stop listening, then wait for the requests in flight).

    aiohttp's own shutdown drops what arrives on open connections, which would cut streams: so `drain` waits first.
    """

    def __init__(self, app: web.Application, host: str, port: int, tls: ssl.SSLContext | None = None):
        self._busy: set = set()  # connections with a request in flight
        self._draining = False
        app.middlewares.append(self._count())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_DRAIN_S, handle_signals=False)
        self._address, self._tls = (host, port), tls

    def _count(self):
        @web.middleware
        async def count(request: web.Request, handler) -> web.StreamResponse:
            self._busy.add(request.protocol)
            try:
                response = await handler(request)
            finally:
                self._busy.discard(request.protocol)
            if self._draining:
                response.force_close()
            return response

        return count

    async def open(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._address, ssl_context=self._tls).start()

    async def drain(self) -> None:
        self._draining = True
        for site in list(self._runner.sites):
            await site.stop()
        for connection in self._runner.server.connections:
            if connection not in self._busy:
                connection.close()
        while self._busy:
            await asyncio.sleep(0.05)
        await self._runner.cleanup()


def stop_on_signals(program: str, log: Log) -> asyncio.Event:
    stop = asyncio.Event()

    def on_signal(name: str) -> None:
        log.info(program, f"Received {name}. No longer listening, finishing requests in flight")
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number.name)
    return stop


async def unless_stopped(stop: asyncio.Event, work: Coroutine) -> None:
    """Does what must come before listening; a stop signal meanwhile ends the program, with nothing to drain."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not task.done():
        task.cancel()
        raise SystemExit(0)
    await task


async def until_stopped(stop: asyncio.Event, work: list[Awaitable]) -> list[asyncio.Task]:
    """Runs background work until the stop signal; returns its tasks, which the caller cancels after the drain."""
    tasks = [asyncio.ensure_future(one) for one in work]
    await stop.wait()
    return tasks


async def serve_until(stop: asyncio.Event, listeners: list[Listener], program: str, url: str, log: Log) -> int:
    """Serves until the stop signal, and what is in flight then; the exit status of a program that has nothing else to do."""
    for listener in listeners:
        await listener.open()
    log.info(program, f"Listening on {url}")
    await stop.wait()
    for listener in listeners:
        await listener.drain()
    log.info(program, "All requests finished. Shutting down")
    return 0


def run(program: str, what: str, serve: Callable[..., Awaitable[int]]) -> None:
    """The frame of each program: command line, first log line, settings, certificates, then `serve`."""
    arguments = command_line.parse(program, sys.argv[1:])
    log = Log(arguments.log_format, arguments.verbosity)
    about = release.load()
    version = about.versions.get(program, "0")
    log.info(program, f"SIMULATED Deepgram {what} (lab stand-in, no real speech recognition)", version=version)
    name = NAMES[program]
    try:
        chosen = settings.load(program, arguments.config, about.bundled(name), log)
        code = asyncio.run(serve(chosen, about, log))
    except settings.ConfigError as error:
        log.error(f"{program}::config", str(error))
        code = 1
    except Fatal:
        code = 1
    except OSError as error:  # an address in use, an unreadable file
        log.error(program, f"Unable to start: {error}")
        code = 1
    raise SystemExit(code)
