"""`python -m bench.pictures`: draws docs/pictures anew. Needs prometheus and promtool (bin/test-programs)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.pictures import fleet, prometheus, svg
from bench.world import PROJECT
from dgctl.export import dashboards

FOLDER = PROJECT / "docs/pictures"
# File -> the dashboard's file, and the panel's title in it.
PICTURES = {
    "stream-latency": ("streams", "Stream latency, mean"),
    "without-the-largest": ("fleet", "Used, if the largest server failed"),
    "files": ("files", "Times real time, over all sound"),
}


def panel(name: str) -> dict[str, Any]:
    """The panel that a picture is of."""
    dashboard, title = PICTURES[name]
    return next(one for one in dashboards.table()[dashboard]["panels"] if one["title"] == title)


def query(name: str) -> str:
    (found,) = dashboards.queries(panel(name)).values()
    return found


def draw(samples: str, names: Mapping[str, Any] = PICTURES) -> dict[str, str]:
    """Name -> the picture of each."""
    with tempfile.TemporaryDirectory() as folder, prometheus.loaded(Path(folder), samples) as asked:
        return {name: _picture(name, asked) for name in names}


def _picture(name: str, asked: prometheus.Prometheus) -> str:
    of = panel(name)
    return svg.drawn(
        of["title"], of.get("unit", ""), query(name), of.get("bounds", []), prometheus.asked(asked, query(name))
    )


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, picture in draw(fleet.openmetrics()).items():
        (FOLDER / f"{name}.svg").write_text(picture, encoding="utf-8")
        print(FOLDER / f"{name}.svg")


if __name__ == "__main__":
    main()
