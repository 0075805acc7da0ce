"""Loads *.dg files from the search paths, new ones while the Engine runs, and drops those that are gone."""

from __future__ import annotations

import asyncio
from pathlib import Path

from .logs import Log
from .model_file import BadModel, Model, read

TARGET = "impeller::model_suppliers::autoload"
POLL_S = 1.0


class Models:
    """The models in memory, by file; a changed file is loaded anew, a bad one is reported once."""

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
            found = {path: _state(path) for path in sorted(directory.iterdir()) if path.suffix == ".dg"}
        except OSError as error:
            if directory not in self._unreadable:
                self._log.error(TARGET, f"Unable to read model search path {directory}: {error.strerror}")
            self._unreadable.add(directory)
            return {}
        self._unreadable.discard(directory)
        return found

    def _load(self, path: Path) -> Model | None:
        try:
            model = read(path)
        except (BadModel, OSError) as error:
            self._log.error(TARGET, f"Failed to load model: {error}", path=path)
            return None
        languages = ", ".join(model.languages)
        self._log.info(
            TARGET,
            f"Inserting model key=AsrKey {{ name: {model.name}, uuid: {model.uuid}, version: {model.version}, "
            f"languages: [{languages}], mode: {model.mode} }}",
        )
        return model

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self.scan()


def _state(path: Path) -> tuple:
    try:
        about = path.stat()
    except OSError:
        return ()
    return about.st_size, about.st_mtime_ns, about.st_ino
