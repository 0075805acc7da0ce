"""Loads *.dg and *.dgv2 files from the search paths, new ones while the Engine runs, and drops those that are gone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from .logs import Log
from .model_file import BadModel, Model, read

TARGET = "impeller::model_suppliers::autoload"
POLL_S = 1.0
SUFFIXES = (".dg", ".dgv2")
# How the log calls models that speak (charts/deepgram-self-hosted/samples/05-voice-agent-aws.values.yaml).
KEYS = {"aura-t2c": "TtsKey", "aura-c2a": "Codes2AudioKey", "flux-tts": "TtsKey", "watermarker": "WatermarkerKey"}


class Models:
    """The models in memory, by file; a changed file is loaded again, a bad one is reported once."""

    def __init__(self, search_paths: list[str], log: Log):
        self._paths, self._log = [Path(path) for path in search_paths], log
        self._loaded: dict[Path, tuple[tuple, Model | None]] = {}  # file -> (its state, what was in it)
        self._unreadable: set[Path] = set()

    @property
    def all(self) -> list[Model]:
        return [model for _, model in self._loaded.values() if model]

    def find(self, name: str, language: str, mode: str) -> Model | None:
        return next((model for model in self.all if model.serves(name, language, mode)), None)

    async def scan(self) -> None:
        found = {path: state for directory in self._paths for path, state in self._files(directory).items()}
        for path in self._loaded.keys() - found.keys():
            del self._loaded[path]
        for path, state in found.items():
            if path not in self._loaded or self._loaded[path][0] != state:
                self._loaded[path] = (state, await asyncio.to_thread(self._load, path))

    def _files(self, directory: Path) -> dict[Path, tuple]:
        """The directory's model files with size, time and inode; a directory that cannot be read is reported once."""
        try:
            found = {path: _state(path) for path in sorted(directory.iterdir()) if path.suffix in SUFFIXES}
        except OSError as error:
            if directory not in self._unreadable:
                self._log.error(TARGET, f"Unable to read model search path {directory}: {error.strerror}")
            self._unreadable.add(directory)
            return {}
        self._unreadable.discard(directory)
        return found

    def _load(self, path: Path) -> Model | None:
        spans = [("load_model", {"path": path})]
        self._log.info(TARGET, "new", spans)
        try:
            model = read(path)
        except (BadModel, OSError) as error:
            self._log.warn(TARGET, "Failed to load model", spans, err=_debug(error))
            return None
        self._log.info(TARGET, "Inserting model", spans, key=asr_key(model))
        return model

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self.scan()


def _debug(error: Exception) -> str:
    """As Rust's Debug shows an error. Of the real ones only Manifest(TomlError { ... }) is published."""
    return f"{type(error).__name__}({json.dumps(str(error))})"


def asr_key(model: Model) -> str:
    """A model as Deepgram's Flux page shows one (tests/samples/deepgram/flux_page.txt); of Aura the chart's sample 05."""
    if model.kind in KEYS:
        return f'{KEYS[model.kind]} {{ name: "{model.name}", version: "{model.version}", uuid: {model.uuid} }}'
    languages = ", ".join(f'Language("{language}")' for language in model.languages)
    mode = "TurnTaking" if model.flux else model.mode.capitalize()
    return (
        f'AsrKey {{ name: "{model.name}", version: "{model.version}", languages: List([{languages}]), aliases: {{}}, tags: [], '
        f"uuid: {model.uuid}, formatted: false, mode: {mode}, architecture: {'Some(Flux)' if model.flux else 'None'} }}"
    )


def _state(path: Path) -> tuple:
    try:
        about = path.stat()
    except OSError:
        return ()
    return about.st_size, about.st_mtime_ns, about.st_ino
