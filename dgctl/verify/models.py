"""Reads /v1/models in each shape that releases have answered with, and the Engine's log of loaded models."""

from __future__ import annotations

import re
from typing import Any

_INSERTED = re.compile(r"Inserting model .*?name:\s*\"?([\w.-]+)\"?")
_FAILED = re.compile(r"Failed to load model.*?path=\"?([^\s\"]+)")


def names(answer: Any) -> set[str]:
    """Every name by which the listed models go. `answer` is a list, or a dict of lists (release-260630 and
    later).
    """
    lists = answer.values() if isinstance(answer, dict) else [answer]
    models = [model for models in lists if isinstance(models, list) for model in models]
    spellings = [spelling for model in models for spelling in _spellings(model)]
    return {spelling for spelling in spellings if spelling}


def _spellings(model: Any) -> list[str]:
    """A model's name, its canonical name, and architecture-name (nova-3 and general: nova-3-general)."""
    if isinstance(model, str):
        return [model]
    if not isinstance(model, dict):
        return []
    name, architecture = str(model.get("name") or ""), str(model.get("architecture") or "")
    joined = f"{architecture}-{name}" if architecture and name else ""
    return [name, str(model.get("canonical_name") or ""), joined]


def inserted(log: list[str]) -> set[str]:
    """Names of the models that the Engine's log says it has loaded."""
    return {match[1] for match in map(_INSERTED.search, log) if match}


def failed(log: list[str]) -> set[str]:
    """Paths of the model files that the Engine's log says it could not load."""
    return {match[1] for match in map(_FAILED.search, log) if match}


def stem(file: str) -> str:
    """The model a file holds: nova-3-general.en.batch.a1b2.dg -> nova-3-general."""
    return file.partition(".")[0]


def fault(model: dict[str, Any], sizes: dict[str, int], records: dict[str, Any]) -> str:
    """Why a wanted file ({file, sha256}) is not as it should be on disk; empty when it is."""
    file, record = model["file"], records.get(model["file"])
    sha256, size = (record.get("sha256"), record.get("size")) if isinstance(record, dict) else (record, None)
    if file not in sizes:
        return "missing"
    if not sha256:
        return "no checksum recorded"
    if model["sha256"] and model["sha256"].lower() != str(sha256).lower():
        return f"recorded checksum is {sha256}, the inventory says {model['sha256']}"
    if size is not None and size != sizes[file]:
        return f"{sizes[file]} bytes, recorded {size}"
    return "" if sizes[file] else "empty"
