"""Copies of the tree in which mutations are made, under .cache/mutation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.paths import PROJECT

CACHE = PROJECT / ".cache" / "mutation"
OPTIONS = ("-q", "--no-header", "-p", "no:cacheprovider", "--hypothesis-seed=0")


def copy(name: str) -> Path:
    """A fresh copy of what git knows and does not ignore."""
    place = CACHE / name
    shutil.rmtree(place, ignore_errors=True)
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=PROJECT, capture_output=True, check=True).stdout.decode().split("\0")
    for file in filter(None, files):
        if (PROJECT / file).is_file():
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / file, place / file, follow_symlinks=False)
    (place / ".venv").symlink_to(Path(sys.executable).parent.parent)
    return place
