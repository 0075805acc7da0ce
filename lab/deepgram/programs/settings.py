"""Reads a program's TOML: known keys with their types, unknown ones ignored, the bundled file for a missing one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from .logs import Log

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


def seconds(text: str) -> float:
    """A humantime string ("1s", "2m 30s") in seconds; ValueError if it is none."""
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip() or any(unit not in _UNITS for _, unit in parts):
        raise ValueError(f"invalid duration: {text!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


class ConfigError(Exception):
    """The file is no TOML, or a known key has the wrong type."""


class Settings:
    """Dotted look-ups into a TOML document: `number("server.port", 8080)`."""

    def __init__(self, document: dict):
        self._document = document

    def get(self, key: str, kind: type | tuple, default):
        here = self._document
        for part in key.split("."):
            if not isinstance(here, dict) or part not in here:
                return default
            here = here[part]
        if not isinstance(here, kind) or (isinstance(here, bool) and bool not in _kinds(kind)):
            raise ConfigError(f"invalid type for key `{key}`: {here!r}")
        return here

    def text(self, key: str, default: str = "") -> str:
        return self.get(key, str, default)

    def number(self, key: str, default):
        return self.get(key, (int, float), default)

    def flag(self, key: str, default: bool) -> bool:
        return self.get(key, bool, default)

    def list(self, key: str, default: list) -> list:
        return self.get(key, list, default)

    def duration(self, key: str, default: str) -> float:
        try:
            return seconds(self.text(key, default))
        except ValueError as error:
            raise ConfigError(f"invalid value for key `{key}`: {error}") from error


def _kinds(kind: type | tuple) -> tuple:
    return kind if isinstance(kind, tuple) else (kind,)


def load(program: str, path: str, bundled: Path, log: Log) -> Settings:
    """The settings at `path`, or the bundled ones when nothing is there: the program warns, and starts."""
    target = f"{program}::config"
    if Path(path).is_file():
        source = Path(path)
        log.info(target, f"Loading configuration from {path}")
    else:
        source = bundled
        log.warn(target, f"Configuration file not found at {path}. Falling back to default/bundled configuration")
    try:
        return Settings(tomllib.loads(source.read_text()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"Unable to parse configuration file {path}: {error}") from error
