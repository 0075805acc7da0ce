"""billing: gives licences behind an air gap, by a licence file, and writes its journal before each of them."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from .logs import Fatal, Log
from .release import Release, check_certificates, serving_tls
from .serving import Listener, run, serve_until, stop_on_signals
from .settings import Settings

LICENSED_FOR = timedelta(hours=1)


class LicenceFile:
    """The keys that a licence file is for: one line of JSON, {"keys": [sha256, ...]}. What a real one holds is not published."""

    def __init__(self, path: str, log: Log):
        try:
            self._keys = set(json.loads(Path(path).read_text())["keys"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.error("billing::license", f"Unable to read the license file {path}: {error}")
            raise Fatal from error

    def fits(self, key: str) -> bool:
        return digest(key) in self._keys


class Journal:
    """A file that only grows; a line of it is on the disk before the licence is given that it is about."""

    def __init__(self, path: str, log: Log):
        self._path, self._log = path, log
        try:
            self.add({"event": "started"})
        except OSError as error:
            log.error("billing::journal", f"Unable to open the journal {path}: {error.strerror}")
            raise Fatal from error

    def add(self, entry: dict) -> None:
        line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), **entry}) + "\n"
        with open(self._path, "a", encoding="utf-8") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _giving(licence: LicenceFile, journal: Journal, log: Log):
    async def check_in(request: web.Request) -> web.Response:
        key = request.headers.get("Authorization", "").partition(" ")[2]
        component = (await request.json()).get("component", "unknown")
        if not licence.fits(key):
            log.error("billing", "Refused a check-in: the key is not of this license", component=component)
            return web.json_response({"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials."}, status=401)
        try:
            journal.add({"event": "checkin", "component": component})
        except OSError as error:
            log.error("billing::journal", f"Unable to write the journal: {error.strerror}", component=component)
            return web.json_response({"err_code": "UNAVAILABLE", "err_msg": "No journal."}, status=503)
        until = datetime.now(UTC) + LICENSED_FOR
        return web.json_response({"licensed": True, "licensed_until": until.isoformat(timespec="seconds")})

    return check_in


async def serve(settings: Settings, release: Release, log: Log) -> int:
    stop = stop_on_signals("billing", log)
    check_certificates("billing", release, log)
    licence = LicenceFile(settings.text("license.file"), log)
    journal = Journal(settings.text("license.journal"), log)

    async def certificates(_request: web.Request) -> web.Response:
        return web.json_response(release.certificates())

    base = settings.text("server.base_url", "/").rstrip("/")
    work, watch = web.Application(), web.Application()
    work.add_routes([web.post(f"{base}/v1/checkin", _giving(licence, journal, log))])
    watch.add_routes([web.get("/v1/certificates", certificates)])
    host = settings.text("server.host", "0.0.0.0")
    port, certificates_port = settings.number("server.port", 8443), settings.number("server.certificates_port", 0)
    listeners = [Listener(work, host, port, serving_tls(release))]
    listeners += [Listener(watch, host, certificates_port)] if certificates_port else []
    return await serve_until(stop, listeners, "billing", f"https://{host}:{port}", log)


def main() -> None:
    run("billing", "Billing", serve)
