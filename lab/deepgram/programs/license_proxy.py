"""hermes, the License Proxy: relays check-ins upstream, and answers from its cache while upstream is away."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime

import aiohttp
from aiohttp import web

from .licence import Licence, Refused, why
from .logs import Log
from .release import Release, check_certificates, serving_tls
from .serving import Listener, run, serve_until, stop_on_signals, unless_stopped
from .settings import Settings

TRUST_S = 24 * 3600.0  # how long cached answers hold; the real length is not published


class Relay:
    """What the proxy knows of its upstream: Ready, Connected, TrustBased or Failed."""

    def __init__(self, clock=time.time, trust_s: float = TRUST_S):
        self._clock, self._trust_s = clock, trust_s
        self._last: float | None = None
        self._up = True
        self._cache: dict[str, tuple[float, dict]] = {}

    def reached(self, key: str, answer: dict) -> None:
        self._last, self._up = self._clock(), True
        self._cache[_name(key)] = (self._clock(), answer)

    def refused(self, key: str) -> None:
        self._up = True
        self._cache.pop(_name(key), None)

    def missed(self, key: str) -> dict | None:
        """Upstream did not answer: the cached answer for this key, while it is trusted."""
        self._up = False
        at, answer = self._cache.get(_name(key), (0.0, None))
        return answer if answer and self._clock() - at <= self._trust_s else None

    def body(self) -> dict:
        if self._last is None:
            return {"state": "Ready" if self._up else "Failed"}
        trusted = self._last + self._trust_s
        state = "Connected" if self._up else "TrustBased" if self._clock() <= trusted else "Failed"
        return {
            "state": state,
            "last_successful_checkin": _stamp(self._last),
            "trust_expiration": _stamp(trusted),
        }


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _relaying(licence: Licence, relay: Relay, log: Log):
    async def check_in(request: web.Request) -> web.Response:
        key = request.headers.get("Authorization", "").partition(" ")[2]
        component = (await request.json()).get("component", "unknown")
        for server in licence.servers:
            try:
                answer = await licence.ask(server, key, component)
            except Refused as error:
                relay.refused(key)
                log.error("hermes::relay", f"Aegis request to {server} failed: {error}", component=component)
                return web.json_response({"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials."}, status=401)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                log.error("hermes::relay", f"Aegis request to {server} failed: {why(error)}", component=component)
            else:
                relay.reached(key, answer)
                return web.json_response(answer)
        cached = relay.missed(key)
        if cached is None:
            return web.json_response({"err_code": "UNAVAILABLE", "err_msg": "No license server."}, status=503)
        return web.json_response(cached)

    return check_in


async def serve(settings: Settings, release: Release, log: Log) -> int:
    stop = stop_on_signals("hermes", log)
    check_certificates("hermes", release, log)
    licence, relay = Licence("hermes", settings, release, log), Relay()
    await unless_stopped(stop, licence.start())

    async def status(_request: web.Request) -> web.Response:
        return web.json_response(relay.body())

    async def certificates(_request: web.Request) -> web.Response:
        return web.json_response(release.certificates())

    base = settings.text("server.base_url", "/").rstrip("/")
    work, watch = web.Application(), web.Application()
    work.add_routes([web.post(f"{base}/v1/checkin", _relaying(licence, relay, log))])
    watch.add_routes([web.get("/v1/status", status), web.get("/v1/certificates", certificates)])
    host = settings.text("server.host", "0.0.0.0")
    port, status_port = settings.number("server.port", 8443), settings.number("server.status_port", 8080)
    listeners = [Listener(work, host, port, serving_tls(release)), Listener(watch, host, status_port)]
    return await serve_until(stop, listeners, "hermes", f"https://{host}:{port}", log)


def main() -> None:
    run("hermes", "License Proxy", serve)
