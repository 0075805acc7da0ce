"""What each server takes: by the limit in the inventory, by its bench or an equal server's, or as its Engine estimates it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from dgctl.bench import promised, retained
from dgctl.bench.job import FILES, STREAMS, TTS
from dgctl.bench.result import SHARE
from dgctl.bench.retained import Kept
from dgctl.bench.window import Window, fault
from dgctl.deployment import topology
from dgctl.deployment.deployment import Deployment, Host

LIMIT, BENCH, ESTIMATE = "limit", "bench", "estimate"


@dataclass(frozen=True)
class Bench:
    """What a bench says of a server, by the deployment's own bounds. `of`: the equal server that was measured in its place."""

    retained: Kept
    holds: int
    fails: int | None
    of: str = ""
    other_release: str = ""  # it was measured with, if not the one of now

    @property
    def at_once(self) -> int:
        """Requests at a time of nine tenths of what it holds; 0 where it holds nothing."""
        seen = [window.at_once for window in self._held]
        return max(1, int(max(seen) * SHARE)) if seen else 0

    @property
    def first_sound_ms(self) -> int | None:
        """Until the first sound, in nine of ten texts, in the worst window that it holds; None for what does not speak."""
        seen = [window.p90_s for window in self._held] if self.retained.kind == TTS else []
        return round(max(seen) * 1000) if seen else None

    @property
    def _held(self) -> list[Window]:
        return [window for window in self.retained.windows if window.load == self.holds]


@dataclass(frozen=True)
class Server:
    """One server and one profile of it. `limit`: of its Engines in all; None where one has none.

    `estimate`: what its Engines say by themselves, which is too low until they had many streams.
    """

    name: str
    profile: str
    gpus: str = ""
    limit: int | None = None
    streams: Bench | None = None
    files: Bench | None = None
    speech: Bench | None = None
    estimate: int | None = None

    @property
    def takes(self) -> int | None:
        """Requests at a time: the limit and nine tenths of what a bench found, whichever is less; None where nothing is known."""
        known = [self.limit] if self.limit else []
        # A bench that the limit ended says no more than the limit.
        if self.streams and not (self.streams.retained.limited and self.limit):
            known.append(max(1, int(self.streams.holds * SHARE)) if self.streams.holds else 0)
        if self.speech and not (self.speech.retained.limited and self.limit):
            known.append(self.speech.at_once)
        return min(known) if known else self.estimate

    @property
    def by(self) -> str:
        """What `takes` follows from; "" where nothing is known."""
        takes = self.takes
        if takes is None:
            return ""
        if takes == self.limit:
            return LIMIT
        return BENCH if self.streams or self.speech else ESTIMATE


@dataclass(frozen=True)
class Room:
    """What the servers of a profile take together; `without`: when the largest is out; `more`: with one more like the middle one.

    `unknown`: servers of which nothing is known, so that the figures are of the others alone.
    """

    all: float
    without: float
    more: float
    unknown: tuple[str, ...] = ()


def found(
    deployment: Deployment, results: list[Kept], limits: Mapping[tuple[str, str], float], gpus: Mapping[str, str]
) -> list[Server]:
    """Every server and profile. `limits`, `gpus`: what Prometheus has, by (server, profile) and by server."""
    names = deployment.members("node", "engine")
    known = {name: gpus.get(name) or _gpus_of(results, name) for name in names}
    servers = []
    for name in names:
        host = deployment.hosts[name]
        for profile, limit in _limits(host).items():
            estimate = None if limit else limits.get((name, profile))
            servers.append(
                Server(
                    name,
                    profile,
                    known[name],
                    limit,
                    _bench(deployment, results, known, host, profile, STREAMS),
                    _bench(deployment, results, known, host, profile, FILES),
                    _bench(deployment, results, known, host, profile, TTS),
                    int(estimate) if estimate else None,
                )
            )
    return servers


def room(values: Mapping[str, float | None]) -> Room | None:
    """Of what the servers of a profile take, each by its name; None where nothing is known of any."""
    known = [value for value in values.values() if value is not None]
    if not known:
        return None
    total = sum(known)
    unknown = tuple(name for name, value in values.items() if value is None)
    return Room(total, total - max(known), total + median(known), unknown)


def _limits(host: Host) -> dict[str, int | None]:
    """Profile -> what its Engines on this server take by their limits; None where one of them has none."""
    by_profile: dict[str, list[int]] = {}
    for engine in topology.layout(host)["engines"]:
        by_profile.setdefault(str(engine["profile"]), []).append(int(engine["limit"] or 0))
    return {profile: sum(reported) if all(reported) else None for profile, reported in by_profile.items()}


def _gpus_of(results: list[Kept], name: str) -> str:
    return next((one.about.get("gpus", "") for one in results if one.host == name and one.about.get("gpus")), "")


def _bench(
    deployment: Deployment, results: list[Kept], gpus: Mapping[str, str], host: Host, profile: str, kind: str
) -> Bench | None:
    """The server's own last bench; else the last one of a server with the same GPUs, release and model files."""
    of_kind = [one for one in results if one.kind == kind and one.about.get("profile", "stt") == profile]
    own = next((one for one in of_kind if one.host == host.name), None)
    if own:
        return _judged(own, host, "")
    for one in of_kind:
        other = deployment.hosts.get(one.host)
        if other and gpus[host.name] and one.about.get("gpus") == gpus[host.name] and _equal(host, other, one):
            return _judged(one, host, one.host)
    return None


def _equal(host: Host, other: Host, one: Kept) -> bool:
    """Whether what was measured there is what runs here."""
    same = ("deepgram_models_links", "deepgram_engines", "deepgram_engine_settings")
    if one.about.get("release") != str(host.vars.get("deepgram_release") or ""):
        return False
    return all(host.vars.get(name) == other.vars.get(name) for name in same)


def _judged(one: Kept, host: Host, of: str) -> Bench:
    """By the deployment's bounds: where they are not those of the bench, its windows are judged again."""
    asked = promised.bounds(host.vars, one.kind)
    now, then = str(host.vars.get("deepgram_release") or ""), one.about.get("release", "")
    other = then if then != now else ""
    if one.bounds.get("mean_s") == asked.mean_s and one.bounds.get("factor") == asked.factor:
        return Bench(one, one.holds, one.fails, of, other)
    words = min(one.windows, key=lambda window: window.load).words if one.windows else 1.0
    holds, fails = retained.within(one.windows, lambda window: not fault(window, asked, words))
    return Bench(one, holds, fails, of, other)
