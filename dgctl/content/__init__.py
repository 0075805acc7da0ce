"""Where the playbooks, roles and plugins lie: the checkout, or the installed wheel. No other room knows.

`imports` says what a plugin imports, `bundle` makes programs for servers of that.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml


@functools.cache
def root() -> Path:
    """The folder that holds ansible.cfg, playbooks/, roles/ and plugins/."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "ansible"
    return installed if installed.is_dir() else package.parent


# libyaml's, where PyYAML was built with it: a sixth of the time, and every dgctl reads sixty files as it starts.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: Path) -> Any:
    """What a YAML file of the content says; {} for one that is absent or empty."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER) or {} if path.is_file() else {}


def tables(root: Path, name: str) -> dict[str, Any]:
    """The tables in roles/platform/vars/main/NAME.yml of the content at `root`; {} where it has none."""
    return read(root / f"roles/platform/vars/main/{name}.yml")


def utilities() -> Path:
    """The folder of the modules' utilities, of which a plugin knows `ansible.module_utils` as a part."""
    return root() / "plugins" / "module_utils"


@functools.cache
def utility(name: str) -> ModuleType:
    """`ansible.module_utils.NAME` of the content, by Ansible's own package: for one that imports others of it."""
    import ansible.module_utils

    if str(utilities()) not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(str(utilities()))
    return importlib.import_module(f"ansible.module_utils.{name}")


@functools.cache
def filters(name: str) -> ModuleType:
    """The file plugins/filter/NAME.py of the content, for one that imports nothing of Ansible's."""
    return _loaded(root() / "plugins" / "filter" / f"{name}.py", f"dgctl_filter_{name}")


@functools.cache
def module(root: Path, name: str) -> ModuleType:
    """The module utility PACKAGE.NAME of the content at `root`, for one that imports no other."""
    path = (root / "plugins/module_utils").joinpath(*name.split(".")).with_suffix(".py")
    return _loaded(path, f"dgctl_{name.replace('.', '_')}")


def _loaded(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    found = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(found)  # type: ignore[union-attr]
    return found
