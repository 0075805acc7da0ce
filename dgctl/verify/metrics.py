"""Reads the Engine's metrics page (Prometheus text, or OpenMetrics)."""

from __future__ import annotations

import re
from collections.abc import Collection

_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def value(page: str, name: str, **labels: Collection[str]) -> float | None:
    """The sum over the label sets of one metric that have one of these values; None when the page has no such sample."""
    samples = [match for match in map(_SAMPLE.match, page.splitlines()) if match and match[1] == name]
    found = [_number(match[3]) for match in samples if _has(dict(_LABEL.findall(match[2] or "")), labels)]
    numbers = [number for number in found if number is not None]
    return sum(numbers) if numbers else None


def _has(own: dict[str, str], labels: dict[str, Collection[str]]) -> bool:
    return all(own.get(name) in values for name, values in labels.items())


def _number(reported: str) -> float | None:
    try:
        return float(reported)
    except ValueError:
        return None
