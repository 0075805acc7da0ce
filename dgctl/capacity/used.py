"""What callers used in the last weeks, by profile, as Prometheus has it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dgctl.capacity.prometheus import Labels, Point, Prometheus, Silent
from dgctl.capacity.trend import HOUR_S

# The highest minute of each hour. Rules of role monitoring, and of `dgctl export monitoring`.
REQUESTS = "max_over_time((sum by (profile) (dgctl:engine_used:requests))[1h:1m])"
# Seconds of sound that came as files, a second: files of any length in one figure; rate() stands counters that start again.
SOUND = (
    "max_over_time((sum by (profile) (rate(engine_asr_per_file_audio_duration_seconds_sum[10m])))[1h:5m])",
    "sum by (profile) (increase(engine_asr_per_file_audio_duration_seconds_sum[{range}]))"
    " / (sum by (profile) (increase(engine_asr_per_file_audio_duration_seconds_count[{range}])) > 0)",
)
LIMITS = "sum by (instance, profile) (dgctl:engine_limit:requests)"
ENGINES = 'up{job="deepgram_engine"}'
GPUS = "dgctl_gpu_info"
SILENT_S = 15 * 60  # after which the last figure is no figure of now
CLOCKS_S = 120  # that this machine's clock and Prometheus' may be apart
STEP_D = 7  # days that one question asks for: half a million samples of a hundred servers are too many at once


@dataclass
class Use:
    """Of one profile: the highest minute of each hour, (end of the hour, value)."""

    requests: list[Point] = field(default_factory=list)
    sound: list[Point] = field(default_factory=list)  # seconds of files, a second
    file_s: float | None = None  # that a file lasted, in the mean


@dataclass
class Seen:
    """Everything that was asked. `limits`: (instance, profile) -> requests that its Engines take; `gpus`: instance -> names.

    `silent`: Engines that gave no metrics at the end. `problems`: sentences on what is missing.
    """

    at: float = 0.0
    days: int = 0
    by_profile: dict[str, Use] = field(default_factory=dict)
    limits: dict[tuple[str, str], float] = field(default_factory=dict)
    gpus: dict[str, str] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def seen(prometheus: Prometheus, days: int, here: float) -> Seen:
    """What it knows of so many days; `here`: this machine's time. Raises Silent."""
    now = prometheus.now()
    found = Seen(now, days)
    if abs(now - here) > CLOCKS_S:
        found.problems.append(
            f"its clock and this machine's are {abs(now - here) / 60:.0f} minutes apart: times are by its own"
        )
    engines = prometheus.ask(ENGINES)
    if not engines:
        raise Silent('it knows no Engine: no target with job="deepgram_engine"')
    found.silent = sorted(str(labels.get("instance", "?")) for labels, value in engines if value != 1)
    for profile in sorted({str(labels.get("profile", "stt")) for labels, _ in engines}):
        found.by_profile[profile] = Use()
    _add_hours(prometheus, found)
    for labels, value in prometheus.ask(SOUND[1].format(range=f"{days}d")):
        _of(found, labels).file_s = value
    for labels, value in prometheus.ask(LIMITS):
        found.limits[labels.get("instance", ""), labels.get("profile", "stt")] = value
    found.gpus = _gpus(prometheus.ask(GPUS))
    found.problems += _missing(found)
    return found


def _add_hours(prometheus: Prometheus, found: Seen) -> None:
    end = found.at // HOUR_S * HOUR_S  # the last whole hour
    begin = end - found.days * 24 * HOUR_S
    while begin < end:
        until = min(end, begin + STEP_D * 24 * HOUR_S)
        for query, name in ((REQUESTS, "requests"), (SOUND[0], "sound")):
            for labels, points in prometheus.ask_range(query, begin + HOUR_S, until, HOUR_S):
                getattr(_of(found, labels), name).extend(points)
        begin = until


def _of(found: Seen, labels: Labels) -> Use:
    return found.by_profile.setdefault(str(labels.get("profile", "stt")), Use())


def _missing(found: Seen) -> Iterable[str]:
    if found.silent:
        yield f"{', '.join(found.silent)} silent: what they carry now is in no figure"
    for profile, use in found.by_profile.items():
        if not use.requests:
            rules = (
                "are the rules of role monitoring, or of dgctl export monitoring, loaded, and for more than an hour?"
            )
            yield f"it has no figures of {profile} (dgctl:engine_used:requests): {rules}"
        elif found.at - use.requests[-1][0] > HOUR_S + SILENT_S:
            hours = (found.at - use.requests[-1][0]) / HOUR_S
            yield f"{profile} has been silent for {hours:.0f} hours: the figures end there"


def _gpus(reported: list[tuple[Labels, Any]]) -> dict[str, str]:
    """instance -> `Tesla T4 + Tesla T4`, as a bench notes them."""
    cards: dict[str, dict[int, str]] = {}
    for labels, _ in reported:
        number = labels.get("gpu", "")
        if number.isdigit():
            cards.setdefault(labels.get("instance", ""), {})[int(number)] = labels.get("name", "")
    return {instance: " + ".join(name for _, name in sorted(of.items())) for instance, of in cards.items()}
