"""The API's Engines: every address behind every `[[driver_pool.standard]] url`, polled, balanced and retried."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp

from .licence import why
from .logs import Log
from .release import Release, internal_tls
from .settings import ConfigError, Settings, seconds

POLL_S = 1.0
WORK = ("streaming_stt", "tts", "eot")  # what a driver may say that its Engine is for (chart 0.42.0: api.config.yaml)
RETRIES = 2  # after the first round over all Engines; the real number is not published
COMPLAIN_EVERY_S = 30.0
_CONNECT = aiohttp.ClientTimeout(total=None, sock_connect=3)


class NoEngine(Exception):
    """No Engine could take the request: none connected, or all busy."""


@dataclass
class Engine:
    """One address of one driver, with what it last said of its models; `models` is None while not connected."""

    url: str
    models: list[dict] | None = None
    active: int = 0
    flags: frozenset[str] | None = None

    def does(self, work: str) -> bool:
        return self.flags is None or work in self.flags


@dataclass
class Driver:
    """One `[[driver_pool.standard]]` block."""

    url: str
    retry_sleep: float = 2.0
    retry_backoff: float = 1.6
    max_response_size: int = 1 << 30
    flags: frozenset[str] | None = None  # None: everything
    engines: dict[str, Engine] = field(default_factory=dict)


def drivers(settings: Settings) -> list[Driver]:
    """The driver blocks; ConfigError for one without an HTTPS url."""
    found = []
    for block in settings.list("driver_pool.standard", []):
        one = Settings(block)
        if not one.text("url").startswith("https://"):
            raise ConfigError(f"driver_pool.standard: url must be https: {one.text('url')!r}")
        one.duration("retry_sleep", "2s")
        found.append(
            Driver(
                one.text("url").rstrip("/"),
                seconds(one.text("retry_sleep", "2s")),
                float(one.number("retry_backoff", 1.6)),
                int(one.number("max_response_size", 1 << 30)),
                frozenset(name for name in WORK if block.get(name)) if set(WORK) & set(block) else None,
            )
        )
    return found


class Pool:
    """Finds Engines, and gives each request to the one with the least work."""

    def __init__(self, settings: Settings, release: Release, log: Log):
        self.drivers, self._log = drivers(settings), log
        self._tls: ssl.SSLContext = internal_tls(release)
        self._session: aiohttp.ClientSession | None = None
        self._turn = itertools.count()
        self._complained = 0.0
        self.ever_connected = False

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=_CONNECT)
        return self._session

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    @property
    def connected(self) -> list[Engine]:
        return [one for driver in self.drivers for one in driver.engines.values() if one.models is not None]

    def models(self) -> list[dict]:
        """Every model of every connected Engine, once."""
        return list({model["uuid"]: model for one in self.connected for model in one.models}.values())

    async def watch(self) -> None:
        while True:
            await asyncio.gather(*map(self._refresh, self.drivers))
            self._tell()
            await asyncio.sleep(POLL_S)

    def _tell(self) -> None:
        now = asyncio.get_running_loop().time()
        if self.connected:
            if not self.ever_connected:
                self._log.info("stem::driver_pool", "Connected to an Engine", engines=len(self.connected))
            self.ever_connected, self._complained = True, 0.0
        elif not self._complained or now - self._complained > COMPLAIN_EVERY_S:
            self._log.error("stem::driver_pool", "Unable to get model info from Engine with any drivers")
            self._complained = now

    async def _refresh(self, driver: Driver) -> None:
        urls = await _addresses(driver.url) or list(driver.engines)  # a failed look-up takes no Engine away
        driver.engines = {url: driver.engines.get(url) or Engine(url, flags=driver.flags) for url in urls}
        await asyncio.gather(*map(self._ask, driver.engines.values()))

    async def _ask(self, engine: Engine) -> None:
        try:
            timeout = aiohttp.ClientTimeout(total=5)
            async with self.session.get(engine.url + "/models", timeout=timeout) as answer:
                answer.raise_for_status()
                engine.models = (await answer.json())["models"]
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as error:
            self._log("DEBUG", "stem::driver_pool", f"Engine request to {engine.url} failed: {why(error)}")
            engine.models = None

    def _ordered(self) -> list[Engine]:
        turn = next(self._turn)
        ready = self.connected
        turned = ready[turn % len(ready) :] + ready[: turn % len(ready)] if ready else []
        return sorted(turned, key=lambda engine: engine.active)

    async def offer(self, attempt, work: str = "streaming_stt") -> object:
        """Calls `attempt(engine)` on one Engine after the other that does this work, until one does not say NoEngine."""
        sleep = self.drivers[0].retry_sleep if self.drivers else 0.0
        for retry in range(RETRIES + 1):
            if retry:
                await asyncio.sleep(sleep)
                sleep *= self.drivers[0].retry_backoff if self.drivers else 1.0
            for engine in [one for one in self._ordered() if one.does(work)]:
                try:
                    return await attempt(engine)
                except NoEngine:
                    continue
        raise NoEngine


async def _addresses(url: str) -> list[str]:
    """The driver's URL once for each address that its host name has."""
    parts = urlsplit(url)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 443, type=1)
    except OSError:
        return []
    hosts = dict.fromkeys(address[4][0] for address in found)
    shown = [f"[{host}]" if ipaddress.ip_address(host).version == 6 else host for host in hosts]
    return [f"https://{host}:{parts.port or 443}{parts.path}" for host in shown]
