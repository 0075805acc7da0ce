"""Compares the wanted model files with what lies on disk and with what the service has loaded."""

from __future__ import annotations

from typing import Any

from dgctl import content
from dgctl.verify.ask import Answer

_log: Any = content.module(content.root(), "deepgram.log")
MODES = _log.MODES
Loaded: Any = _log.Loaded
SUFFIXES: tuple[str, ...] = _log.SUFFIXES
diagnose: Any = content.module(content.root(), "deepgram.signatures").diagnose
LOG_WORDS: tuple[str, ...] = _log.MODEL_WORDS


def events(answer: Answer) -> list[str]:
    """The events of a container's log, one line each, in whichever format it is written."""
    return _log.events(answer.out) if answer.ok else []


def listed(answer: Any) -> list[Any]:
    """The models of /v1/models: a list, or since release-260630 an object with a list for each type."""
    lists = answer.values() if isinstance(answer, dict) else [answer]
    models = [model for models in lists if isinstance(models, list) for model in models]
    return [_listed(model) for model in models if isinstance(model, dict)]


def _listed(model: dict[str, Any]) -> Any:
    """Names: its own, the canonical one, and architecture-name (nova-3 and general: nova-3-general)."""
    name, architecture = str(model.get("name") or ""), str(model.get("architecture") or "")
    joined = f"{architecture}-{name}" if architecture and name else ""
    names = {name, str(model.get("canonical_name") or ""), joined} - {""}
    modes = {mode for mode in MODES if model.get(mode)}
    return Loaded(names, model.get("languages") or [], modes)


def logged(log: list[str]) -> tuple[list[Any], dict[str, str]]:
    """Models that the events of the Engine's log name as loaded, and {file: line} of those refused and not loaded since."""
    return _log.models(log)


def list_files(folder: str) -> str:
    """A command that prints `bytes name` of each model file in a folder; it fails without the folder."""
    named = " -o ".join(f"-name '*{suffix}'" for suffix in SUFFIXES)
    return f"cd {folder} && find -L . -maxdepth 1 -type f \\( {named} \\) -printf '%s %f\\n'"


def read_sizes(lines: list[str]) -> dict[str, int]:
    return {name: int(size) for size, _, name in (line.partition(" ") for line in lines)}


def fault(model: dict[str, Any], sizes: dict[str, int], records: dict[str, Any], locked: str = "") -> str:
    """Why a wanted file ({file, sha256}) is not as it should be on disk; empty when it is. `locked`: what other servers have."""
    file, record = model["file"], records.get(model["file"])
    sha256, size = (record.get("sha256"), record.get("size")) if isinstance(record, dict) else (record, None)
    if file not in sizes:
        return "missing"
    if not sha256:
        return "no checksum recorded"
    if model["sha256"] and model["sha256"].lower() != str(sha256).lower():
        return f"recorded checksum is {sha256}, the inventory says {model['sha256']}"
    if locked and not model["sha256"] and locked != sha256:
        return f"recorded checksum is {sha256}, that of other servers (models.lock) is {locked}"
    if size is not None and size != sizes[file]:
        return f"{sizes[file]} bytes, recorded {size}"
    return "" if sizes[file] else "empty"
