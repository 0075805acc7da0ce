"""Writes the lab's stand-in model files, with the names that real ones have."""

from __future__ import annotations

import hashlib
import random
import uuid
from pathlib import Path

from .programs import model_file
from .programs.model_file import BLOCK, Model

MIB = 1 << 20
# name, languages, mode, kind, architecture, version, size in bytes
TABLE = (
    ("nova-3-general", ["en"], "batch", "stt", "nova-3", "2025-07-31.0", 200 * MIB),
    ("nova-3-general", ["en"], "streaming", "stt", "nova-3", "2025-07-31.0", 6 * MIB),
    ("nova-3-medical", ["en"], "batch", "stt", "nova-3", "2025-06-09.0", 5 * MIB),
    ("nova-2-general", ["es"], "streaming", "stt", "nova-2", "2024-01-10.0", 4 * MIB),
    ("entity-detector", ["en"], "batch", "entity-detector", "", "2025-05-20.0", 3 * MIB),
    ("entity-detector", ["en"], "streaming", "entity-detector", "", "2025-05-20.0", 3 * MIB),
)
# For a server of the profile flux: the model server has it, and the lab's own inventory does not link to it.
FLUX = ("flux-general-en", ["en"], "streaming", "stt", "flux", "2025-10-15.0", 4 * MIB)

# For the products that speak, by the UUIDs of docker-compose.aura-2*.yml and engine.flux-tts.toml:
# file, languages, kind, uuid, version. How the file of Flux TTS is called is not published.
SPEAKING = (
    ("aura-2.voice-pack.en", ["en"], "aura-t2c", "0ec06c9b-0aa0-44d0-a001-3ec57d32229e", "2025-04-15.4"),
    ("aura-2.generator.en", ["en"], "aura-c2a", "2e5096c7-7bf1-435e-bbdd-f673f88d0ebd", "2025-04-15.4"),
    ("aura-2.voice-pack.es", ["es"], "aura-t2c", "c053c7a8-7317-4de8-8a50-7e01c54e7ba9", "2025-07-01.0"),
    ("aura-2.generator.es", ["es"], "aura-c2a", "04355c1e-8148-478d-9f6c-6a6c54ec3591", "2025-07-01.0"),
    ("flux-tts.en", ["en"], "flux-tts", "9c3cc12c-c0a2-4966-8676-f9fa22ab5401", "2026-08-12.0"),
    ("end-of-turn.en", ["en"], "end-of-turn", "7c1b9f60-91f5-5d0b-9d3a-3f0f6d4f5a11", "2025-06-01.0"),
)  # fmt: skip


def speaking_files() -> dict[str, str]:
    """Name without its id -> file name, of each model of SPEAKING."""
    return {name: f"{name}.{identity[:7]}.dg" for name, _, _, identity, _ in SPEAKING}


def _identity(name: str, languages: list[str], mode: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{'-'.join(languages)}.{mode}.lab.test"))


def file_name(name: str, languages: list[str], mode: str) -> str:
    return f"{name}.{'-'.join(languages)}.{mode}.{_identity(name, languages, mode)[:7]}.dg"


def _payload(seed: str, size: int):
    """`size` bytes that are the same for the same seed, in blocks; no more than a block is in memory."""
    block = random.Random(seed).randbytes(min(size, BLOCK))
    for number, at in enumerate(range(0, size, BLOCK)):
        yield (number.to_bytes(8, "big") + block[8:])[: size - at]


def write_model(path: Path, model: Model) -> None:
    """Writes one model file beside its place, then renames it into place; `model.size` bytes of payload."""
    digest = hashlib.sha256()
    for block in _payload(model.uuid, model.size):
        digest.update(block)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(model_file.header(Model(**{**vars(model), "sha256": digest.hexdigest()})))
        for block in _payload(model.uuid, model.size):
            file.write(block)
    partial.replace(path)


def write_models(directory: Path) -> list[str]:
    """Writes every model that is not there yet; returns the file names of the table."""
    directory.mkdir(parents=True, exist_ok=True)
    names = []
    for name, languages, mode, kind, architecture, version, size in (*TABLE, FLUX):
        identity = _identity(name, languages, mode)
        names.append(file_name(name, languages, mode))
        path = directory / names[-1]
        if not path.exists():
            write_model(path, Model(name, languages, mode, identity, version, kind, architecture, size))
    for name, languages, kind, identity, version in SPEAKING:
        path = directory / speaking_files()[name]
        if not path.exists():
            write_model(path, Model(name, languages, "streaming", identity, version, kind, "", 4 * MIB))
    return names[: len(TABLE)]
