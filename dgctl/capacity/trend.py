"""Where the busiest hours of days lead: a line through them that stands odd days, with its doubt.

The slope is the median of the slopes between days of the same weekday, its interval that of the seasonal Kendall test
(Hirsch, Slack, Smith 1982, "Techniques of trend analysis for monthly water quality data"; Gilbert 1987, "Statistical methods for
environmental pollution monitoring", 17.4). Outliers up to a quarter of the days do not move it, and weekends are no trend.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

HOUR_S, DAY_S, WEEK_D = 3600, 86400, 7
WHOLE_DAY_H = 20  # hours with figures that a day needs: the peak of fewer may be a lower one
LEAST_DAYS = 14  # two of each weekday
LEAST_PAIRS = 7  # of days of the same weekday
Z = 1.6449  # of the normal distribution: 90 % lie within
AHEAD = 3  # times the length of what was seen, up to which a date is given

Point = tuple[float, float]  # (seconds since 1970, value)


@dataclass(frozen=True)
class Trend:
    """`slope` a day, with its interval of 90 %; `level`: of the busiest weekday on the last day; `days` that were used."""

    slope: float
    low: float
    high: float
    level: float
    last_day: int  # since 1970
    first_day: int
    days: int


@dataclass(frozen=True)
class Reached:
    """The day (since 1970) on which a level is reached: `likely`, by the steepest and by the flattest slope of the interval.

    None: not within `until`, beyond which nothing is said.
    """

    earliest: int | None
    likely: int | None
    latest: int | None
    until: int


def daily_peaks(hours: Iterable[Point]) -> list[Point]:
    """(day since 1970, highest hour of it) of the days that have figures of nearly all hours, in UTC; in their order."""
    found: dict[int, list[float]] = {}
    for at, value in hours:
        # A value is of the hour that ends then.
        found.setdefault(int((at - HOUR_S / 2) // DAY_S), []).append(value)
    return [(day, max(values)) for day, values in sorted(found.items()) if len(values) >= WHOLE_DAY_H]


def fit(days: list[Point]) -> Trend | None:
    """The trend of daily peaks; None where the days are too few to say anything."""
    if len(days) < LEAST_DAYS:
        return None
    weekdays: dict[int, list[Point]] = {}
    for day, value in days:
        weekdays.setdefault(int(day) % WEEK_D, []).append((day, value))
    slopes = sorted(slope for points in weekdays.values() for slope in _slopes(points))
    if len(slopes) < LEAST_PAIRS:
        return None
    slope = median(slopes)
    low, high = _interval(slopes, [len(points) for points in weekdays.values()])
    last = int(days[-1][0])
    levels = [median(value + slope * (last - day) for day, value in points) for points in weekdays.values()]
    return Trend(slope, low, high, max(levels), last, int(days[0][0]), len(days))


def reached(trend: Trend, level: float) -> Reached:
    """When the busiest hour of a day comes to this level."""
    until = trend.last_day + AHEAD * (trend.last_day - trend.first_day + 1)

    def day(slope: float) -> int | None:
        if trend.level >= level:
            return trend.last_day
        if slope <= 0:
            return None
        found = trend.last_day + math.ceil((level - trend.level) / slope)
        return found if found <= until else None

    return Reached(day(trend.high), day(trend.slope), day(trend.low), until)


def _slopes(points: list[Point]) -> list[float]:
    return [
        (later - value) / (other - day)
        for number, (day, value) in enumerate(points)
        for other, later in points[number + 1 :]
    ]


def _interval(slopes: list[float], sizes: list[int]) -> tuple[float, float]:
    """The slopes between which the true one lies 9 times of 10, by the variance of Kendall's statistic over the weekdays."""
    variance = sum(size * (size - 1) * (2 * size + 5) for size in sizes) / 18
    reach = Z * math.sqrt(variance)
    first = max(0, math.floor((len(slopes) - reach) / 2) - 1)
    last = min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))
    return slopes[first], slopes[last]
