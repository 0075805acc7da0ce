"""What a host's Python needs to run a module's tests: Ansible's module_utils and nothing else of it, and pytest."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import ansible.module_utils

from tests.paths import PROJECT

CACHE = PROJECT / ".cache" / "pythons"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def module_utils(folder: Path) -> Path:
    """A folder for PYTHONPATH with what Ansible packs into a module: a package `ansible` that has only module_utils."""
    package = folder / "ansible"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "module_utils").symlink_to(Path(ansible.module_utils.__file__).parent)
    return folder


def environment(*places: Path) -> dict[str, str]:
    """This process's environment for another Python."""
    CACHE.mkdir(parents=True, exist_ok=True)
    mine = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "PYTHON"))}
    return {**mine, "PYTHONPATH": os.pathsep.join(map(str, places)), "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}


def python_with_pytest(python: str, version: str) -> str:
    """Python of an environment with REQUIREMENTS, made when it is first asked for."""
    made_of = hashlib.sha256(python.encode() + REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"{version}-{made_of}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([python, "-m", "venv", folder], check=True)
            pip = [folder / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", REQUIREMENTS], check=True)
            (folder / "ready").touch()
    return str(folder / "bin/python")
