"""The trend of the busiest hours: found in spite of weekends and odd days, with an interval that holds what is true."""

import random

import pytest

from dgctl.capacity import trend
from dgctl.capacity.trend import DAY_S, HOUR_S, Trend

FIRST = 20_000  # a day since 1970


def days(count, slope, noise=0.0, seed=0, weekend=0.4):
    """Daily peaks from 100 on, on weekends a share of it."""
    chance = random.Random(seed)
    return [
        (FIRST + n, (100 + slope * n) * (weekend if (FIRST + n) % 7 in (2, 3) else 1) + chance.gauss(0, noise))
        for n in range(count)
    ]


def test_a_line_is_found_and_weekends_are_no_trend():
    found = trend.fit(days(28, 2.0, weekend=1))
    assert found.slope == pytest.approx(2) and found.level == pytest.approx(154)
    growing = trend.fit(days(28, 2.0))
    assert growing.slope == pytest.approx(2) and growing.level == pytest.approx(154, abs=1)
    flat = trend.fit(days(26, 0.0))
    assert (flat.slope, flat.low, flat.high) == (0, 0, 0) and flat.level == 100, "the level is of the busiest weekday"


def test_odd_days_do_not_move_it():
    found = days(28, 1.0, weekend=1)
    for n in (3, 11, 20):
        found[n] = (found[n][0], 5000.0)
    assert trend.fit(found).slope == pytest.approx(1, abs=0.2)


def test_the_interval_holds_the_true_slope_nine_times_of_ten():
    fits = [trend.fit(days(28, 1.0, noise=8, seed=seed, weekend=1)) for seed in range(200)]
    held = sum(found.low <= 1.0 <= found.high for found in fits)
    assert 175 <= held <= 199
    assert all(found.low <= found.slope <= found.high for found in fits)


@pytest.mark.parametrize("count", [0, 1, 13])
def test_few_days_are_no_trend(count):
    assert trend.fit(days(count, 5.0)) is None
    assert trend.fit(days(14, 5.0)) is not None


def test_days_without_nearly_all_hours_do_not_count():
    hours = [((FIRST * 24 + n + 1) * HOUR_S, n % 24) for n in range(48) if not 30 <= n < 40]
    assert trend.daily_peaks(hours) == [(FIRST, 23)]
    assert trend.daily_peaks([]) == []
    midnight = [((FIRST * 24 + n + 1) * HOUR_S, float(n)) for n in range(24)]
    assert midnight[-1][0] == (FIRST + 1) * DAY_S and trend.daily_peaks(midnight) == [(FIRST, 23.0)], (
        "of the day that ends"
    )


def line(slope, low, high, level=100.0):
    return Trend(slope, low, high, level, FIRST + 27, FIRST, 28)


def test_when_it_is_full():
    found = trend.reached(line(2.0, 1.0, 4.0), 120)
    assert [day - FIRST - 27 for day in (found.earliest, found.likely, found.latest)] == [5, 10, 20]
    assert trend.reached(line(2.0, 1.0, 4.0), 99).earliest == FIRST + 27, "it is full now"


def test_no_date_is_given_beyond_what_was_seen_three_times():
    found = trend.reached(line(1.0, -1.0, 2.0), 190)
    assert found.until == FIRST + 27 + 3 * 28
    assert (found.earliest, found.likely, found.latest) == (FIRST + 72, None, None)
    falling = trend.reached(line(-1.0, -2.0, -0.5), 101)
    assert (falling.earliest, falling.likely, falling.latest) == (None, None, None)
