"""Compares the wanted model files with what lies on disk and with what the service has loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_INSERTED = re.compile(r"Inserting model .*?\{(.*)\}")
_FAILED = re.compile(r"Failed to load model.*?path=\"?([^\s\"]+)")
# An Engine's one Flux model may come into service without a line of its name; the API lists it or does not.
_FLUX, _FLUX_MODELS = "Finished prewarming Flux model", frozenset({"flux-general-en", "flux-general-multi"})
MODES = ("batch", "streaming")


@dataclass(frozen=True)
class Loaded:
    """A model in service: its names, languages and modes. Empty sets: it did not say."""

    names: frozenset[str]
    languages: frozenset[str] = frozenset()
    modes: frozenset[str] = frozenset()

    def serves(self, file: str) -> bool:
        """True when this is the model of a file named like nova-3-general.en.batch.a1b2.dg."""
        name, *rest = file.removesuffix(".dg").split(".")
        mode = next((word for word in rest if word in MODES), None)
        language = rest[0] if rest and rest[0] not in MODES else None
        return (
            name in self.names
            and (mode is None or not self.modes or mode in self.modes)
            and (language in (None, "multi") or not self.languages or _speaks(self.languages, language))
        )


def _speaks(languages: frozenset[str], language: str) -> bool:
    """en-US is English too."""
    return any(known.lower().split("-")[0] == language.lower().split("-")[0] for known in languages)


def listed(answer: Any) -> list[Loaded]:
    """The models of /v1/models: a list, or since release-260630 an object with a list for each type."""
    lists = answer.values() if isinstance(answer, dict) else [answer]
    models = [model for models in lists if isinstance(models, list) for model in models]
    return [_listed(model) for model in models if isinstance(model, dict)]


def _listed(model: dict[str, Any]) -> Loaded:
    """Names: its own, the canonical one, and architecture-name (nova-3 and general: nova-3-general)."""
    name, architecture = str(model.get("name") or ""), str(model.get("architecture") or "")
    joined = f"{architecture}-{name}" if architecture and name else ""
    names = {name, str(model.get("canonical_name") or ""), joined} - {""}
    modes = {mode for mode in MODES if model.get(mode)}
    return Loaded(frozenset(names), frozenset(model.get("languages") or []), frozenset(modes))


def logged(log: list[str]) -> tuple[list[Loaded], set[str]]:
    """Models that the Engine's log says it has loaded, and names of files that it refused and has not loaded since.

    Loaded: `Inserting model key=AsrKey { name: …, mode: … }`, for Flux `Finished prewarming Flux model`; refused:
    `Failed to load model … path=…`.
    """
    loaded: list[Loaded] = []
    refused: set[str] = set()
    for line in log:
        if match := _INSERTED.search(line):
            loaded.append(_inserted(match[1]))
            refused = {file for file in refused if not loaded[-1].serves(file)}
        elif _FLUX in line:
            loaded.append(Loaded(_FLUX_MODELS))
        elif match := _FAILED.search(line):
            refused.add(match[1].rpartition("/")[2])
    return loaded, refused


def _inserted(key: str) -> Loaded:
    return Loaded(_field(key, "name"), _field(key, "languages") | _field(key, "language"), _field(key, "mode"))


def _field(key: str, name: str) -> frozenset[str]:
    """The value, or the values in brackets, of one field of a logged key."""
    match = re.search(rf"\b{name}:\s*(?:\[([^\]]*)\]|([^,}}]+))", key)
    words = (match[1] if match[1] is not None else match[2]).split(",") if match else []
    return frozenset(word.strip(" \"'") for word in words) - {""}


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
