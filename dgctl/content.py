"""Where the playbooks, roles and ansible.cfg lie: the checkout, or the installed wheel."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from types import ModuleType


def root() -> Path:
    """The folder that holds ansible.cfg, playbooks/, roles/ and plugins/."""
    package = Path(__file__).resolve().parent
    installed = package / "ansible"
    return installed if installed.is_dir() else package.parent


@functools.cache
def module(root: Path, name: str) -> ModuleType:
    """plugins/module_utils/NAME.py of the content at `root`, for one that imports nothing of Ansible's."""
    path = root / f"plugins/module_utils/{name}.py"
    spec = importlib.util.spec_from_file_location(f"dgctl_{name}", path)
    found = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(found)  # type: ignore[union-attr]
    return found
