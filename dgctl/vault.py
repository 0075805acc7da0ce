"""Where vault passwords come from, in the words of ansible-playbook's own options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class VaultOptions:
    """Vault passwords as (label, file) pairs; a prompted password is a private file for the time of the run."""

    files: tuple[tuple[str, Path], ...] = ()

    def arguments(self) -> list[str]:
        """The same passwords as options of ansible-playbook, ansible-inventory and ansible."""
        return [word for label, path in self.files for word in ("--vault-id", f"{label}@{path}")]
