"""What `dgctl capacity` prints: tables, and the advice with its commands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from dgctl.base.words import columns, count, listed
from dgctl.bench.job import FILES, STREAMS, TTS
from dgctl.capacity import gpus
from dgctl.capacity.pools import Pool, Profile, Queue, date
from dgctl.capacity.servers import BENCH, ESTIMATE, LIMIT, Bench, Server
from dgctl.capacity.trend import LEAST_DAYS

# The benches of a server, as its fields are called.
_BENCHES = {STREAMS: "streams", FILES: "files", TTS: "speech"}

Again = Callable[..., str]  # a verb and its options -> the command


def lines(profile: Profile, table: list[tuple[str, ...]], factor: float) -> list[str]:
    """Everything about a profile, but the advice."""
    found = [f"{profile.name}: {count(len(profile.servers), 'server')}", ""]
    benches = [_BENCHES[kind] for kind in gpus.kinds(profile.name)]
    head = ("server", "takes", "by", *(f"bench of {name}" for name in benches))
    found += indented([head, *(_server(one, benches) for one in profile.servers)])
    for pool in (profile.requests, profile.sound):
        if pool.room or pool.peak:
            found += ["", *_pool(pool)]
    if profile.sound.peak and profile.file_s:
        found.append(f"  callers' files last {_seconds(profile.file_s)} in the mean")
    for name, queue in profile.queues.items():
        server = next(one for one in profile.servers if one.name == name)
        if server.files and not server.files.of:
            found += ["", *_queue(name, queue, factor)]
    return [*found, "", *indented([gpus.headings(profile.name), *table]), ""]


def indented(rows: list[tuple[str, ...]]) -> list[str]:
    return [f"  {line}" for line in columns(rows)]


def _server(one: Server, benches: list[str]) -> tuple[str, ...]:
    by = {
        LIMIT: "its limit",
        BENCH: "nine tenths of its bench",
        ESTIMATE: "its Engine's own estimate, too low until it had many streams",
        "": "not known",
    }[one.by]
    takes = "-" if one.takes is None else str(one.takes)
    return one.name, takes, by, *(_bench(getattr(one, name)) for name in benches)


def _bench(bench: Bench | None) -> str:
    if not bench:
        return "-"
    until = "" if bench.fails is None else f", not {bench.fails}"
    reported = f"{bench.holds}{until}"
    if bench.retained.kind == TTS:
        reported += " a minute"
    if bench.first_sound_ms is not None:
        reported += f", first sound {bench.first_sound_ms} ms (P90)"
    if bench.retained.file_s:
        reported += f" a minute of {_seconds(bench.retained.file_s)}"
    reported += f", as {bench.of}" if bench.of else ""
    return f"{reported}, with {bench.other_release}" if bench.other_release else reported


def _pool(pool: Pool) -> list[str]:
    """What the servers take together, how full that is, and when it will be."""
    head = (pool.unit, "", "highest hour") if pool.peak else (pool.unit, "")
    rows: list[tuple[str, ...]] = [head]
    if pool.room:
        of = {"all": pool.room.all, "without the largest": pool.room.without, "one more": pool.room.more}
        if pool.room.unknown:
            of = {"those that are known": pool.room.all}
        for name, value in of.items():
            share = pool.share(value)
            rows.append((name, f"{value:.0f}", *(["-" if share is None else f"{share:.0%}"] if pool.peak else [])))
    found = indented(rows) if pool.room else [f"  {pool.unit}"]
    if pool.room and pool.room.unknown:
        found.append(f"  without {listed(list(pool.room.unknown))}, of which nothing is known")
    if pool.peak:
        found.append(
            f"  highest hour: {pool.peak[1]:.0f}, before {_moment(pool.peak[0])} ({count(pool.hours, 'hour')} seen)"
        )
    return [*found, *_trend(pool)]


def _trend(pool: Pool) -> list[str]:
    if not pool.hours:
        return []
    if not pool.trend:
        return [f"  no trend from {count(pool.days, 'whole day')}: it takes {LEAST_DAYS}"]
    likely, low, high = (7 * slope for slope in (pool.trend.slope, pool.trend.low, pool.trend.high))
    doubt = f"{low:+.1f} to {high:+.1f}, 9 of 10; {pool.trend.days} days"
    reported = f"  the busiest hour of a day: {likely:+.1f} a week ({doubt})"
    full = pool.full
    if not full:
        return [reported]
    until = f"not before {date(full.until)}, and beyond that nothing is said"
    if full.earliest is None:
        return [reported, f"  full without the largest: {until}"]
    if full.earliest == pool.trend.last_day:
        return [reported, "  full without the largest: now"]
    likely = date(full.likely) if full.likely else f"after {date(full.until)}"
    latest = date(full.latest) if full.latest else "later, or never"
    return [reported, f"  full without the largest: {likely} (between {date(full.earliest)} and {latest})"]


def _queue(name: str, queue: Queue, factor: float) -> list[str]:
    """What files take at some loads."""
    if not queue.lasting:
        return [f"  files at {name}: its bench does not tell how they queue, so nothing is said of their times"]
    bound = queue.file_s / factor
    head = f"  files of {_seconds(queue.file_s)} at {name}, by its bench and both ways in which an Engine may queue:"
    rows = [("a minute", "mean", "P95", "P99", f"longer than {_seconds(bound)}")]
    rows += [
        (f"{one.load:.0f}", _span(one.mean_s), _span(one.p95_s), _span(one.p99_s), _shares(one.late))
        for one in queue.times
    ]
    last = f"  the mean stays within {_seconds(bound)} up to {queue.lasting:.0f} a minute, however long it lasts"
    return [head, *indented(rows), last]


def advice(profile: Profile, again: Again, full: float) -> list[str]:
    """What to do next, each with its command. `full`: the share of what the servers take from which on another is due."""
    found = _unmeasured(profile, again)
    for one in profile.servers:
        found += _of_server(one, again)
    pool = profile.requests
    without = pool.share(pool.room.without) if pool.room else None
    share = pool.share(pool.room.all) if pool.room else None
    if share is not None and pool.room:
        if len(profile.servers) > 1 and without is not None and without > 1:
            found.append("Add a server: without the largest one the highest hour would find no room")
        elif share > full:
            found.append(f"Add a server: the highest hour took {share:.0%}, and {full:.0%} is where it is due")
        elif pool.full and pool.full.earliest is not None:
            found.append(f"Have another server ready by {date(pool.full.earliest)}")
    if not pool.peak:
        found.append("Nothing says how much is used: a server under [monitoring], or --prometheus URL, does")
    return list(dict.fromkeys(found))


def _command(profile: str, name: str, again: Again) -> str:
    """The one that measures a server."""
    return f"{again('bench')} {name}" + (" --tts" if gpus.kinds(profile) == (TTS,) else "")


def _unmeasured(profile: Profile, again: Again) -> list[str]:
    """The first of those of which nothing is known: equal ones need no bench of their own."""
    names = [one.name for one in profile.servers if one.takes is None or one.by == ESTIMATE]
    if not names:
        return []
    others = f" (not known either: {listed(names[1:])})" if names[1:] else ""
    measure = _command(profile.name, names[0], again)
    return [f"Measure what {names[0]} holds{others}: {again('drain')} {names[0]}, then {measure}"]


def _of_server(one: Server, again: Again) -> list[str]:
    measure = _command(one.profile, one.name, again)
    if one.speech and one.speech.other_release:
        return [f"Measure {one.name} again, its bench is of {one.speech.other_release}: {measure}"]
    if not one.streams or one.streams.retained.limited or not one.streams.holds:
        return []
    if one.streams.other_release:
        return [f"Measure {one.name} again, its bench is of {one.streams.other_release}: {measure}"]
    advised = max(1, int(one.streams.holds * 0.9))
    if one.limit and one.limit > advised:
        return [
            f"{one.name} takes {one.limit} and holds {one.streams.holds}: lower its limit to {advised}, then {again('provision')}"
        ]
    return []


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%F %R} UTC"


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def _span(values: tuple[float, float]) -> str:
    low, high = (_seconds(value) for value in values)
    return low if low == high else f"{low} to {high}"


def _shares(values: tuple[float, float]) -> str:
    low, high = (f"{value:.1%}" for value in values)
    return low if low == high else f"{low} to {high}"


def document(profiles: list[Profile], table: dict[str, list[tuple[str, ...]]]) -> dict[str, Any]:
    """What --json says."""
    return {
        one.name: one.document() | {"gpus": [dict(zip(_names(one.name), row, strict=True)) for row in table[one.name]]}
        for one in profiles
    }


def _names(profile: str) -> tuple[str, ...]:
    found = (gpus.UNITS[kind].replace(" ", "_") for kind in gpus.kinds(profile))
    return "gpus", "memory", "compute_capability", "servers", *found
