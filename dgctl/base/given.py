"""Files and folders that a person names: refused in one sentence, before anything is done. Exit 2, and no traceback."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown

# What a path is that no file's content can be read from.
KINDS = (
    (stat.S_ISDIR, "it is a directory"),
    (stat.S_ISFIFO, "it is a pipe, which cannot be read twice"),
    (stat.S_ISSOCK, "it is a socket"),
    (stat.S_ISCHR, "it is a device"),
    (stat.S_ISBLK, "it is a device"),
)


def require_file(path: Path, what: str, fix: str) -> None:
    """Raises DgctlError (exit 2) for a file that is missing, empty, something else than a file, or may not be read."""
    if seen := _unreadable(path):
        raise DgctlError(Problem(f"{what}: {seen}", shown(path), fix=fix), Exit.USAGE)


def _unreadable(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if kinds := [words for is_one, words in KINDS if is_one(mode)]:
            return kinds[0]
        with path.open("rb") as stream:
            return "" if stream.read(1) else "it is empty"
    except FileNotFoundError:
        return "it does not exist"
    except OSError as error:
        return error.strerror or str(error)


def require_place(path: Path, what: str) -> None:
    """Raises DgctlError (exit 2) where no file of this name can be written: its folder is missing, or refuses it."""
    folder = path.parent
    if os.path.isdir(path):
        raise _unwritable(what, path, "it is a directory", f"name a file in it: {shlex.quote(shown(path / 'NAME'))}")
    if not os.path.isdir(folder):
        fix = f"make its folder first: mkdir -p {shlex.quote(shown(folder))}; or name another file"
        raise _unwritable(what, path, "no such folder", fix)
    with refused(f"{what}: its folder refuses it", path, "name a file in a folder that you may write to"):
        # Rights alone do not tell of a file system that is read-only or full.
        tempfile.TemporaryFile(dir=folder).close()


def _unwritable(what: str, path: Path, seen: str, fix: str) -> DgctlError:
    return DgctlError(Problem(f"{what}: {seen}", shown(path), fix=fix), Exit.USAGE)


@contextlib.contextmanager
def refused(what: str, path: Path, fix: str) -> Iterator[None]:
    """Has the system's refusal of a file that a person named end as DgctlError (exit 2)."""
    try:
        yield
    except OSError as error:
        raise DgctlError(Problem(what, shown(path), error.strerror or str(error), fix), Exit.USAGE) from error
