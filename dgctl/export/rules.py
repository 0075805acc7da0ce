"""The rules of the role monitoring as Prometheus reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from dgctl import content

FOLDER = "roles/monitoring/templates/rules"
# Rules have Prometheus' templates in them, with braces: the role's own are in square brackets.
_ENVIRONMENT = Environment(
    variable_start_string="[[", variable_end_string="]]", undefined=StrictUndefined, keep_trailing_newline=True
)

_SLA = re.compile(r"\{\{ (deepgram_sla_\w+) \| default\(\d+\) \}\}")


def rendered(root: Path, variables: Mapping[str, Any]) -> dict[str, str]:
    """File name -> text of each file of rules, with these values of monitoring_*."""
    values = {name: variables[name] for name in variables if name.startswith("monitoring_")}
    paths = sorted((root / FOLDER).glob("*.yml.j2"))
    return {path.stem: _ENVIRONMENT.from_string(path.read_text("utf-8")).render(values) for path in paths}


def usual(root: Path) -> dict[str, Any]:
    """The role's own values, where a deployment says nothing."""
    promised = content.read(root / "roles/deepgram/defaults/main.yml")
    values = content.read(root / "roles/monitoring/defaults/main.yml")
    return {name: _as_promised(value, promised) for name, value in values.items()}


def _as_promised(value: Any, promised: Mapping[str, Any]) -> Any:
    """What a default takes of deepgram_sla_*."""
    found = _SLA.fullmatch(value) if isinstance(value, str) else None
    return promised[found[1]] if found else value


def alerts(texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """The alerts of rendered files, in their order: {alert, expr, for, labels, annotations}."""
    groups = [group for text in texts.values() for group in yaml.load(text, Loader=content.LOADER)["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]
