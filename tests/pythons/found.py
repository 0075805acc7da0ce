"""The Pythons that hosts have, as far as this machine has them too."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

FLOOR = (3, 9)  # Enterprise Linux 9; what ansible-core speaks to begins there too (3.8 before 2.20)
SUPPORTED = [f"3.{minor}" for minor in range(FLOOR[1], 15)]
OWN = "{}.{}".format(*sys.version_info[:2])
_ASK = "import ssl, sqlite3, venv, sys; print('%d.%d' % sys.version_info[:2])"


@cache
def interpreter(version: str) -> str:
    """Path of a working Python `3.N`, "" where there is none."""
    for path in _candidates(version):
        try:
            reported = subprocess.run([path, "-c", _ASK], capture_output=True, text=True, timeout=60)
        except OSError:
            continue
        if reported.stdout.strip() == version:
            return str(path)
    return ""


def _candidates(version: str) -> list[Path]:
    """Where PATH, pyenv, uv and /opt would have it; a shim of pyenv's may be there and not work."""
    name, home = f"python{version}", Path.home()
    folders = [Path(folder) for folder in os.get_exec_path()]
    roots = (Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions", home / ".local/share/uv/python")
    folders += [path / "bin" for root in (*roots, Path("/opt")) for path in sorted(root.glob("*"))]
    return [path / name for path in folders if (path / name).exists()]


def newest() -> str:
    """The newest working Python here that is newer than this one, "" where there is none."""
    newer = SUPPORTED[SUPPORTED.index(OWN) + 1 :]
    return next(filter(None, map(interpreter, reversed(newer))), "")


if __name__ == "__main__":
    print(newest())
