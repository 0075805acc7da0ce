"""Reads a deployment (inventory, group_vars, vault) with Ansible's own code, so that meaning is Ansible's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgctl.vault import VaultOptions


@dataclass
class Host:
    """One server: `vars` are the roles' defaults and the inventory's variables, templated, vault decrypted.

    A value that needs facts from the server stays as written. `origins`: variable name -> "file:line".
    """

    name: str
    address: str
    groups: list[str]
    vars: dict[str, Any]
    origins: dict[str, str] = field(default_factory=dict)


@dataclass
class Deployment:
    """All hosts of an inventory; `targets` are the names that --limit leaves."""

    inventory: Path
    hosts: dict[str, Host]
    targets: list[str]

    @property
    def folder(self) -> Path:
        return self.inventory if self.inventory.is_dir() else self.inventory.parent


def load(inventory: Path, vault: VaultOptions, limit: str | None = None) -> Deployment:
    """Reads the inventory at `inventory`; raises DgctlError (exit 3, or 2 for a limit that matches nothing)."""
    raise NotImplementedError
