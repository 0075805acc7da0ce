"""Latency over load as an SVG: a dot a window, the bound, and the interval in which the boundary lies."""

from __future__ import annotations

import math
from html import escape

from dgctl.bench.result import Result
from dgctl.bench.window import Window

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 50, 55
STYLE = "font-family:sans-serif;font-size:13px;fill:#333"


def svg(result: Result) -> str:
    """The picture of a result; times in milliseconds."""
    windows = [one for one in result.found.windows if one.results]
    most_x = max([one.load for one in windows] + [result.found.upper or 1, 1]) * 1.05
    most_y = max([min(one.p95_s, 4 * result.bounds.mean_s) for one in windows] + [1.5 * result.bounds.mean_s]) * 1000

    def x(load: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * load / most_x

    def y(ms: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(ms, most_y) / most_y

    bound = result.bounds.mean_s * 1000
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(LEFT, 22, f"{result.host}: latency over {result.unit}"),
        text(LEFT, 40, ", ".join(f"{key} {value}" for key, value in result.about.items() if value), "#777"),
        *_interval(result, x),
        *_axes(most_x, most_y, x, y),
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(bound):.1f}" y2="{y(bound):.1f}" stroke="#c33" stroke-dasharray="6 4"/>',
        text(WIDTH - RIGHT - 90, y(bound) - 6, f"{bound:.0f} ms mean", "#c33"),
        *_dots(windows, x, y),
        text(LEFT + 10, HEIGHT - 8, "dots: mean of a window; rings: P95", "#777"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _interval(result: Result, x) -> list[str]:
    found = result.found
    if found.upper is None:
        return []
    left, right = x(found.lower), x(found.upper)
    box = f'<rect x="{left:.1f}" y="{TOP}" width="{max(2, right - left):.1f}" height="{HEIGHT - TOP - BOTTOM}" fill="#fd8"/>'
    return [box, text(max(LEFT, left - 60), TOP + 14, f"holds {found.lower}")]


def _axes(most_x: float, most_y: float, x, y) -> list[str]:
    lines = [f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#333"/>']
    for load in ticks(most_x):
        lines.append(text(x(load) - 8, HEIGHT - BOTTOM + 18, f"{load:g}"))
    for ms in ticks(most_y):
        lines.append(text(12, y(ms) + 4, f"{ms:g} ms"))
    return lines


def ticks(most: float) -> list[float]:
    """About five round numbers from 0 on."""
    raw = most / 5
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    return [round(step * number, 6) for number in range(int(most / step) + 1)]


def _dots(windows: list[Window], x, y) -> list[str]:
    found = []
    for one in windows:
        colour = "#c33" if one.refused or one.broken else "#26c"
        found.append(f'<circle cx="{x(one.load):.1f}" cy="{y(one.mean_s * 1000):.1f}" r="4" fill="{colour}"/>')
        ring = f'cx="{x(one.load):.1f}" cy="{y(one.p95_s * 1000):.1f}" r="4" fill="none" stroke="{colour}"'
        found.append(f"<circle {ring}/>")
    return found


def text(x: float, y: float, words: str, colour: str = "#333") -> str:
    """Words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" style="{STYLE.replace("#333", colour)}">{escape(words)}</text>'
