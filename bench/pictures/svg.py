"""Lines over time as an SVG that says where they come from: the panel, its query, and that the fleet is simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from bench.pictures import fleet
from dgctl.bench.picture import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, text, ticks
from dgctl.capacity.prometheus import Point

COLOURS, BOUNDS = ("#26c", "#292", "#a3a"), ("#c90", "#c33")
MARGIN = 30  # below the axis of time, for the words


def drawn(title: str, unit: str, query: str, bounds: Sequence[float], lines: Mapping[str, Sequence[Point]]) -> str:
    """`bounds`: those of the panel, from which on Grafana shows it in yellow and red."""
    most = 1.1 * max([value for points in lines.values() for _, value in points] + list(bounds))
    low = HEIGHT - BOTTOM

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - fleet.START) / (fleet.END - fleet.START)

    def y(value: float) -> float:
        return low - (low - TOP) * value / most

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + MARGIN}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(query)}</desc>",
        f'<rect width="{WIDTH}" height="{HEIGHT + MARGIN}" fill="white"/>',
        text(LEFT, 22, title),
        text(
            LEFT,
            40,
            "simulated: three servers, 400 ms at 40 streams, a limit of 45; gpu3 is out from 4.5 to 5.5 h",
            "#777",
        ),
        f'<path d="M{LEFT} {TOP}V{low}H{WIDTH - RIGHT}" fill="none" stroke="#333"/>',
        *(text(x(fleet.START + hour * 3600) - 8, low + 18, f"{hour} h") for hour in range(fleet.HOURS + 1)),
        *(text(12, y(value) + 4, _shown(value, unit)) for value in ticks(most)),
    ]
    for bound, colour in zip(bounds, BOUNDS[len(BOUNDS) - len(bounds) :], strict=True):
        at = f'y1="{y(bound):.1f}" y2="{y(bound):.1f}"'
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" {at} stroke="{colour}" stroke-dasharray="6 4"/>')
    for number, (name, points) in enumerate(sorted(lines.items())):
        colour = COLOURS[number % len(COLOURS)]
        parts += [_line(points, colour, x, y), text(LEFT + 90 * number, low + 42, name, colour)]
    first = query.split("\n", 1)[0]
    return "\n".join([*parts, text(LEFT, low + 64, first if first == query else f"{first} …", "#777"), "</svg>"]) + "\n"


def _line(points: Sequence[Point], colour: str, x, y) -> str:
    """Broken where nothing was told for more than two steps."""
    path, last = "", 0.0
    for at, value in points:
        path += f"{'L' if at - last <= 4 * fleet.STEP_S else 'M'}{x(at):.1f} {y(value):.1f}"
        last = at
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _shown(value: float, unit: str) -> str:
    return f"{value:.0%}" if unit == "percentunit" else f"{value * 1000:g} ms" if unit == "s" else f"{value:g}"
