"""Ansible's folder of a user for one test; what its runs pack of this checkout's modules is shared by the process's tests."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import pytest

_PACKED = "packed-modules"  # FOLDER of plugins/callback/module_cache.py, which names its content by all that is packed


def use(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `path` Ansible's folder. To pack a module takes a fifth of a second of CPU, in each folder of its own."""
    path.mkdir(mode=0o700, exist_ok=True)
    if not (path / _PACKED).exists():
        (path / _PACKED).symlink_to(_packed())
    monkeypatch.setenv("ANSIBLE_HOME", str(path))


@functools.cache
def _packed() -> Path:
    folder = tempfile.mkdtemp(prefix="packed-modules-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
