"""Which NVIDIA driver fits which GPUs, for what the inventory alone tells: the tables and the rules of role platform."""

from __future__ import annotations

import datetime
import functools
from pathlib import Path
from typing import Any

from dgctl import content


@functools.cache
def tables(root: Path) -> dict[str, Any]:
    """_platform_gpus, _platform_branches, _platform_nvswitch ... of the content at `root`; {} where it has none."""
    files = [content.tables(root, name) for name in ("gpus", "branches", "nvswitch")]
    return {name: row for file in files for name, row in file.items()} if all(files) else {}


def rules(month: str = "") -> Any:
    """The object that answers (class Drivers of plugins/module_utils/nvidia/drivers.py); None where there are no tables.

    `month`: the one to take as now, as "2026-11".
    """
    found = tables(content.root())
    if not found:
        return None
    now = month or datetime.datetime.now(datetime.UTC).strftime("%Y-%m")
    return content.module(content.root(), "nvidia.drivers").Drivers(
        found["_platform_branches"], found["_platform_generations"], now
    )


def models(names: list[str], extra: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the GPUs that nvidia-smi calls so; those that no table has are left out."""
    known = {row["name"]: row for row in tables(content.root()).get("_platform_gpus", {}).values()}
    known |= {row["name"]: row for row in extra.values() if isinstance(row, dict) and "compute_capability" in row}
    return [known[name] for name in names if isinstance(name, str) and name in known]
