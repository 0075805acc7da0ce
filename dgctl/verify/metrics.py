"""Reads the Engine's metrics page (Prometheus text, or OpenMetrics)."""

from __future__ import annotations

import re

_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{.*\})?\s+(\S+)")


def value(page: str, name: str) -> float | None:
    """The sum over all label sets of one metric; None when the page has no such sample."""
    found = [_number(match[2]) for match in map(_SAMPLE.match, page.splitlines()) if match and match[1] == name]
    numbers = [number for number in found if number is not None]
    return sum(numbers) if numbers else None


def _number(said: str) -> float | None:
    try:
        return float(said)
    except ValueError:
        return None
