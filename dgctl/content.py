"""Where the playbooks, roles and ansible.cfg lie: the checkout, or the installed wheel."""

from __future__ import annotations

from pathlib import Path


def root() -> Path:
    """The folder that holds ansible.cfg, playbooks/, roles/ and plugins/."""
    package = Path(__file__).resolve().parent
    installed = package / "ansible"
    return installed if installed.is_dir() else package.parent
