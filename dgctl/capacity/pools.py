"""A profile's servers beside what callers ask of them: how full, when full, one server more and one less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dgctl.bench.result import SHARE
from dgctl.capacity import queueing, trend
from dgctl.capacity.prometheus import Point
from dgctl.capacity.queueing import Times
from dgctl.capacity.servers import Bench, Room, Server, room
from dgctl.capacity.trend import Reached, Trend
from dgctl.capacity.used import Use

LOADS = (0.5, 0.7, 0.9, 1.0)  # of what a bench of files found, for which times are given


@dataclass(frozen=True)
class Pool:
    """`unit`: of every figure. `peak`: the highest hour; None where Prometheus has none. `full`: when the busiest hour of a day
    fills the servers but for the largest.
    """

    unit: str
    room: Room | None
    hours: int = 0
    peak: Point | None = None
    days: int = 0
    trend: Trend | None = None
    full: Reached | None = None

    def share(self, of: float) -> float | None:
        """How much of so much the highest hour takes; None where it is not known of all servers what they take."""
        is_whole = self.room is not None and not self.room.unknown
        return self.peak[1] / of if self.peak and of > 0 and is_whole else None

    def document(self) -> dict[str, Any]:
        """What --json says of it."""
        found: dict[str, Any] = {"unit": self.unit, "hours": self.hours, "days": self.days}
        if self.room:
            takes = {"all": self.room.all, "without_largest": self.room.without, "one_more": self.room.more}
            if self.room.unknown:
                takes = {"known": self.room.all}
            found["takes"] = {name: round(value, 1) for name, value in takes.items()}
            found["unknown"] = list(self.room.unknown)
            if self.peak and not self.room.unknown:
                shares = {name: self.share(value) for name, value in takes.items()}
                found["share"] = {name: None if value is None else round(value, 4) for name, value in shares.items()}
        if self.peak:
            found["peak"] = {
                "value": round(self.peak[1], 2),
                "at": f"{datetime.fromtimestamp(self.peak[0], UTC):%FT%RZ}",
            }
        if self.trend:
            slopes = {"likely": self.trend.slope, "low": self.trend.low, "high": self.trend.high}
            found["trend_a_week"] = {name: round(7 * value, 3) for name, value in slopes.items()}
        if self.full:
            found["full"] = {name: None if day is None else date(day) for name, day in vars(self.full).items()}
        return found


@dataclass(frozen=True)
class Queue:
    """What files of its bench's length take on a server. `takes`: a minute; `lasting`: by the bound however long it lasts, None
    where the bench does not tell how it queues; `times`: at some loads.
    """

    takes: float
    file_s: float
    lasting: float | None = None
    times: tuple[Times, ...] = ()

    @property
    def sound(self) -> float:
        """Seconds of files a second."""
        return self.takes * self.file_s / 60


@dataclass(frozen=True)
class Profile:
    """Everything about one profile. `queues`: server -> how it queues, of those of which a bench of files says it."""

    name: str
    servers: list[Server]
    requests: Pool
    sound: Pool
    file_s: float | None = None  # that callers' files last, in the mean
    queues: Mapping[str, Queue] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {
            "servers": [_server(one) for one in self.servers],
            "requests": self.requests.document(),
            "files": self.sound.document() | {"file_s": self.file_s},
            "queues": {name: asdict(one) for name, one in self.queues.items()},
        }


def profiles(servers: list[Server], used: Mapping[str, Use], factor: float) -> list[Profile]:
    """Every profile of the deployment. `used`: what Prometheus has; `factor`: deepgram_sla_file_factor."""
    read: dict[Path, Queue] = {}  # of a bench that several servers share
    found = []
    for name in dict.fromkeys(one.profile for one in servers):
        of = [one for one in servers if one.profile == name]
        use = used.get(name, Use())
        queues = {}
        for one in of:
            if one.files and one.files.holds and one.files.retained.file_s:
                path = one.files.retained.path
                read[path] = queues[one.name] = read.get(path) or queue(one.files, one.files.retained.file_s, factor)
        sounds = {one.name: queues[one.name].sound if one.name in queues else None for one in of}
        requests = pool("requests at a time", room({one.name: one.takes for one in of}), use.requests)
        sound = pool("seconds of files a second", room(sounds), use.sound)
        found.append(Profile(name, of, requests, sound, use.file_s, queues))
    return found


def queue(bench: Bench, file_s: float, factor: float) -> Queue:
    """What follows from a bench of files: nine tenths of what it found, or what lasts, whichever is less."""
    models, bound_s = queueing.fit(bench.retained.windows), file_s / factor
    lasting = queueing.lasting(models, bound_s)
    takes = min(bench.holds * SHARE, *([lasting] if lasting else []))
    times = (queueing.times(models, bench.holds * share, bound_s) for share in LOADS)
    return Queue(takes, file_s, lasting, tuple(one for one in times if one))


def pool(unit: str, takes: Room | None, hours: list[Point]) -> Pool:
    """These hours beside what the servers take."""
    days = trend.daily_peaks(hours)
    line = trend.fit(days)
    level = takes.without or takes.all if takes else 0.0
    full = trend.reached(line, level) if line and level and takes and not takes.unknown else None
    return Pool(unit, takes, len(hours), max(hours, key=lambda point: point[1], default=None), len(days), line, full)


def date(day: int) -> str:
    """A day since 1970 as 2026-11-30."""
    return f"{datetime.fromtimestamp(day * trend.DAY_S, UTC):%F}"


def _server(one: Server) -> dict[str, Any]:
    benches = {"streams": one.streams, "files": one.files, "speech": one.speech}
    reported = {
        kind: {
            **{"holds": bench.holds, "fails": bench.fails, "measured": bench.of or one.name},
            **{"moment": bench.retained.moment, "release": bench.retained.about.get("release", "")},
            **({"file_s": bench.retained.file_s} if bench.retained.file_s else {}),
            **({} if bench.first_sound_ms is None else {"first_sound_ms": bench.first_sound_ms}),
        }
        for kind, bench in benches.items()
        if bench
    }
    return {"name": one.name, "gpus": one.gpus, "takes": one.takes, "by": one.by, "limit": one.limit, "bench": reported}
