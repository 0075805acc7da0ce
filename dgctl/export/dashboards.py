"""Dashboards as Grafana reads them, built from the table in dashboards.yml.

The form is that of Deepgram's own (github:deepgram/self-hosted-resources, monitoring/grafana_dashboard_template.json,
schemaVersion 42); the source of data is a variable, so that one file serves import and provisioning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dgctl import content

SCHEMA = 42
WIDTH, HEIGHT = 12, 8  # of a panel; a row is 24 wide
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SELECTOR = 'instance=~"$instance"'
SERVERS = 'label_values(up{job="deepgram_host"}, instance)'
QUANTILES = {"P50": 0.5, "P90": 0.9, "P99": 0.99}
OPTIONS = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"colorMode": "value", "reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "auto"},
    "table": {"showHeader": True},
}


def table() -> dict[str, dict[str, Any]]:
    """Name of a dashboard's file -> {title, panels}, as the table has it."""
    return content.read(Path(__file__).with_name("dashboards.yml"))


def queries(panel: dict[str, Any]) -> dict[str, str]:
    """Legend -> PromQL of a panel."""
    name = panel.get("quantiles") or panel.get("tail")
    if "quantiles" in panel:
        asked = {word: _quantile(share, "le", name) for word, share in QUANTILES.items()}
    elif "tail" in panel:
        asked = {"...": _quantile(0.99, "instance, le", name)}
    else:
        asked = panel["ask"]
    return {
        "{{instance}}" if legend == "..." else legend: query.strip().replace("$S", SELECTOR)
        for legend, query in asked.items()
    }


def _quantile(share: float, by: str, name: str) -> str:
    return f"histogram_quantile({share}, sum by ({by}) (rate({name}_bucket{{$S}}[5m])))"


def documents() -> dict[str, dict[str, Any]]:
    """Name -> Grafana's JSON of each dashboard."""
    return {name: _document(name, row) for name, row in table().items()}


def _document(name: str, row: dict[str, Any]) -> dict[str, Any]:
    link = {"type": "dashboards", "tags": ["dgctl"], "title": "Deepgram", "asDropdown": True}
    return {
        "uid": f"dgctl-{name}",
        "title": f"Deepgram: {row['title']}",
        "tags": ["deepgram", "dgctl"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [link | {"includeVars": True, "keepTime": True}],
        "templating": {"list": [_source(), _servers()]},
        "panels": [_panel(number, panel) for number, panel in enumerate(row["panels"])],
    }


def _source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1}


def _servers() -> dict[str, Any]:
    return {
        "name": "instance",
        "label": "Server",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": SERVERS, "refId": "servers"},
        "definition": SERVERS,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: dict[str, Any]) -> dict[str, Any]:
    kind = panel.get("kind", "timeseries")
    instant = {"instant": True, "format": "table"} if kind == "table" else {}
    targets = [
        {"refId": chr(ord("A") + at), "datasource": SOURCE, "expr": query, "legendFormat": legend} | instant
        for at, (legend, query) in enumerate(queries(panel).items())
    ]
    defaults = {"unit": panel.get("unit", "short"), "min": 0, "thresholds": _thresholds(panel.get("bounds", []))}
    return {
        "id": number + 1,
        "type": kind,
        "title": panel["title"],
        "datasource": SOURCE,
        "gridPos": {"x": WIDTH * (number % 2), "y": HEIGHT * (number // 2), "w": WIDTH, "h": HEIGHT},
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": OPTIONS[kind],
    }


def _thresholds(bounds: list[float]) -> dict[str, Any]:
    colours = ("yellow", "red") if len(bounds) == 2 else ("red",)
    steps = [{"color": colour, "value": bound} for colour, bound in zip(colours, bounds, strict=False)]
    return {"mode": "absolute", "steps": [{"color": "green", "value": None}, *steps]}
