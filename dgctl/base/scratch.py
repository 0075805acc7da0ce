"""Private temporary folders (0700) that are gone with their run, or with the next one when it was killed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def folder(kind: str) -> Iterator[Path]:
    """A folder for the time of the `with`; what killed runs of this user left is removed first."""
    _sweep()
    with tempfile.TemporaryDirectory(prefix=f"dgctl-{kind}-{os.getpid()}-") as path:
        yield Path(path)


def _sweep() -> None:
    for path in Path(tempfile.gettempdir()).glob("dgctl-*"):
        named = re.fullmatch(r"dgctl-[a-z]+-(\d+)-\w+", path.name)
        with contextlib.suppress(FileNotFoundError):  # another run was quicker
            if named and path.lstat().st_uid == os.getuid() and not _alive(int(named[1])):
                shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
