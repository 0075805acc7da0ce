"""The stand-in's .dg format: one line of magic, one line of JSON about the model, then a payload with a known SHA-256.

The real format is encrypted and unknown; only the file names and what the API says of a model are taken from it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

MAGIC = b"SIMULATED-DG-1\n"
BLOCK = 1 << 20


class BadModel(ValueError):
    """The file is no stand-in model, or is cut or damaged."""


@dataclass(frozen=True)
class Model:
    """What the Engine knows of one model file; `mode` is batch or streaming, `kind` stt, tts or a companion's name."""

    name: str
    languages: list[str]
    mode: str
    uuid: str
    version: str
    kind: str = "stt"
    architecture: str = ""
    size: int = field(default=0, compare=False)
    sha256: str = field(default="", compare=False)

    @property
    def flux(self) -> bool:
        """Whether it is for /v2/listen, on an Engine that serves nothing else."""
        return self.name.startswith("flux-")

    def as_json(self) -> dict:
        """One entry of /v1/models."""
        short = self.name.removeprefix(self.architecture + "-") if self.architecture else self.name
        return {
            "name": short,
            "canonical_name": self.name,
            "architecture": self.architecture or self.name,
            "languages": self.languages,
            "version": self.version,
            "uuid": self.uuid,
            "batch": self.mode == "batch",
            "streaming": self.mode == "streaming",
            "formatted_output": False,
        }

    def serves(self, name: str, language: str, mode: str) -> bool:
        """Whether a request for this model name ("nova-3" means "nova-3-general"), language and mode is its own."""
        named = name in (self.name, self.name.removesuffix("-general"))
        spoken = not language or any(language == own or language.startswith(own + "-") for own in self.languages)
        return self.kind == "stt" and self.mode == mode and named and spoken


def header(model: Model) -> bytes:
    return MAGIC + json.dumps(asdict(model), sort_keys=True).encode() + b"\n"


def read(path: Path) -> Model:
    """Reads and checks a whole file in blocks; BadModel or OSError says why it cannot be loaded."""
    with path.open("rb") as file:
        if file.readline(len(MAGIC)) != MAGIC:
            raise BadModel("unknown format or wrong project key")
        try:
            model = Model(**json.loads(file.readline(1 << 16)))
        except (ValueError, TypeError) as error:
            raise BadModel("damaged header") from error
        digest, size = hashlib.sha256(), 0
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
    if size != model.size:
        raise BadModel(f"truncated: {size} of {model.size} bytes")
    if digest.hexdigest() != model.sha256:
        raise BadModel("damaged payload")
    return model
