"""The public variables of all roles, read from their own files: argument_specs and defaults."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgctl import content

_SPECS, _DEFAULTS = "meta/argument_specs.yml", "defaults/main.yml"


@dataclass(frozen=True)
class Option:
    """One public variable; `spec`: its entry in argument_specs (type, choices ...), or empty."""

    name: str
    role: str
    spec: dict[str, Any] = field(default_factory=dict)

    @property
    def secret(self) -> bool:
        return bool(self.spec.get("no_log"))

    @property
    def required(self) -> bool:
        return bool(self.spec.get("required"))


def role_names(root: Path) -> list[str]:
    """The roles, longest name first: `deepgram_models_dir` is of deepgram_models, not deepgram."""
    names = [path.name for path in (root / "roles").glob("*") if path.is_dir()]
    return sorted(names, key=lambda name: (-len(name), name))


def options(root: Path) -> dict[str, Option]:
    """Name -> Option for every role in `root`/roles."""
    roles = role_names(root)
    files = [root / "roles" / role / file for role in roles for file in (_SPECS, _DEFAULTS)]
    return dict(_options(root, tuple(roles), tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in files)))


@functools.lru_cache(maxsize=1)  # several ask for them in one run
def _options(root: Path, roles: tuple[str, ...], changed: tuple[int, ...]) -> dict[str, Option]:
    found = {}
    for role in roles:
        specs = content.read(root / "roles" / role / _SPECS).get("argument_specs", {})
        written = specs.get("main", {}).get("options", {})
        for name in [*written, *content.read(root / "roles" / role / _DEFAULTS)]:
            found[name] = Option(name, role, written.get(name) or {})
    return found
