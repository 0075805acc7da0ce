"""Checks in at the licence servers, in their order: at the start, and every minute from then on."""

from __future__ import annotations

import asyncio
import os
import ssl
import time

import aiohttp

from .logs import Fatal, Log
from .release import Release, internal_tls, public_tls
from .settings import Settings

AIR_GAPPED = "airgapped-mode"
START_ATTEMPTS = 3
INTERVAL_S = 60.0
GRACE_S = 600.0  # how long a program keeps working on its last check-in
TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)


class Refused(Exception):
    """A licence server knows the key, or does not, and says no."""


def why(error: BaseException) -> str:
    """The cause as the real logs name it."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dns error: {error.os_error.strerror or error.os_error}"
    if isinstance(error, TimeoutError):
        return "TimedOut"
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionRefusedError):
        return "Connection refused"
    return str(error) or type(error).__name__


def _servers(program: str, settings: Settings, release: Release) -> list[str]:
    """Whom to ask. self-hosted-resources d78df52: a list in api.toml and engine.toml, text in the chart's license-proxy.toml."""
    if program == "hermes":
        return [settings.text("license.server_url", release.license_server)]
    return settings.list("license.server_url", [release.license_server])


def _key(settings: Settings) -> str:
    """The chart (api.deployment.yaml): behind an air gap the programs want DEEPGRAM_API_KEY, and do not use it."""
    given = os.environ.get("DEEPGRAM_API_KEY", "")
    return settings.text("license.key") if given in ("", AIR_GAPPED) else given


class Licence:
    """The key and the servers of one program. `ask` is one check-in, `hold` keeps the licence."""

    def __init__(self, program: str, settings: Settings, release: Release, log: Log):
        self._program, self._release, self._log = program, release, log
        self.servers = _servers(program, settings, release)
        self._key = _key(settings)
        self.exit_code = 0  # 1 once the licence is lost
        self._contexts = (public_tls(release), internal_tls(release))
        if not self._key:
            log.error(f"{program}::config", "Missing license configuration: set DEEPGRAM_API_KEY")
            raise Fatal

    async def start(self) -> None:
        """Checks in; Fatal after a refusal or when no server answers."""
        for attempt in range(START_ATTEMPTS):
            if attempt:
                await asyncio.sleep(attempt)
            if await self._once():
                return
        self._log.error(self._program, "Unable to verify the license with any license server. Shutting down")
        raise Fatal

    async def hold(self, stop: asyncio.Event) -> None:
        """Checks in every minute; when none succeeded for the grace time, or the key is refused, asks to stop."""
        last = time.monotonic()
        while not stop.is_set():
            await asyncio.sleep(INTERVAL_S)
            try:
                last = time.monotonic() if await self._once() else last
            except Fatal:
                self._lose(stop)
            if time.monotonic() - last > GRACE_S:
                self._log.error(self._program, "The license could not be verified for too long. Shutting down")
                self._lose(stop)

    def _lose(self, stop: asyncio.Event) -> None:
        self.exit_code = 1
        stop.set()

    async def _once(self) -> bool:
        for server in self.servers:
            try:
                await self.ask(server, self._key, self._program)
            except Refused as error:
                self._log.error(f"{self._program}::license", f"Aegis request to {server} failed: {error}")
                raise Fatal from error
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                self._log.error(f"{self._program}::license", f"Aegis request to {server} failed: {why(error)}")
            else:
                self._log("DEBUG", f"{self._program}::license", f"License verified by {server}")
                return True
        return False

    async def ask(self, server: str, key: str, component: str) -> dict:
        """One check-in; Refused on 401 and 403, ClientError, TimeoutError or OSError without an answer."""
        body = {
            "component": component,
            "instance_id": self._release.instance_id,
            "release": self._release.tag,
        }
        headers = {"Authorization": f"Token {key}"}
        url = server.rstrip("/") + "/v1/checkin"
        for context in self._contexts:  # a License Proxy shows an internal certificate, all others a public one
            try:
                async with (
                    aiohttp.ClientSession(timeout=TIMEOUT, trust_env=True) as session,
                    session.post(url, json=body, headers=headers, ssl=context) as answer,
                ):
                    if answer.status in (401, 403):
                        raise Refused(f"{answer.status} {answer.reason}")
                    answer.raise_for_status()
                    return await answer.json()
            except aiohttp.ClientConnectorCertificateError:
                if context is self._contexts[-1]:
                    raise
            except ssl.SSLError as error:
                raise OSError(str(error)) from error
        raise AssertionError("no TLS context")
