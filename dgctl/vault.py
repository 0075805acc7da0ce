"""Where vault passwords come from, in the words of ansible-playbook's own options."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dgctl import scratch
from dgctl.errors import DgctlError, Exit, Problem

PASSWORD_FILE = ".vault_pass"


@dataclass(frozen=True)
class VaultOptions:
    """Vault passwords as (label, file) pairs; a prompted one is a private file during the run."""

    files: tuple[tuple[str, Path], ...] = ()

    def arguments(self) -> list[str]:
        """The same passwords as options of ansible-playbook, ansible-inventory and ansible."""
        return [word for label, path in self.files for word in ("--vault-id", f"{label}@{path}")]


@contextmanager
def opened(inventory: Path, password_files: tuple[str, ...], ids: tuple[str, ...], ask: bool) -> Iterator[VaultOptions]:
    """The passwords of a run, from its options and from `.vault_pass` beside the inventory.

    Prompted passwords live in a private folder (0700) that is gone when the run ends.
    """
    with scratch.folder("vault") as private:
        pairs = [("default", _existing(path)) for path in password_files]
        pairs += [_from_id(text, private) for text in ids]
        if ask:
            pairs.append(("default", _prompted("default", private)))
        beside = inventory.parent / PASSWORD_FILE
        if os.path.exists(beside):  # False, too, where the folder may not be entered: the inventory's error says so
            pairs.append(("default", _private(beside)))
        yield VaultOptions(tuple(pairs))


def _from_id(text: str, private: Path) -> tuple[str, Path]:
    label, _, source = text.rpartition("@")
    label = label or "default"
    return label, _prompted(label, private) if source == "prompt" else _existing(source)


def _existing(source: str) -> Path:
    path = Path(source).expanduser().absolute()
    if path.is_file() and os.access(path, os.R_OK):
        return path
    raise DgctlError(
        Problem(
            "the vault password file cannot be read",
            where=str(source),
            fix="give the path of a file that you may read, or use --ask-vault-pass",
        ),
        Exit.USAGE,
    )


def _private(path: Path) -> Path:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise DgctlError(
            Problem(
                "the vault password file can be read by others",
                where=str(path),
                value=f"mode {mode:04o}",
                fix=f"chmod 600 {path}",
            ),
            Exit.INVALID,
        )
    return _existing(str(path))


def _prompted(label: str, private: Path) -> Path:
    import click

    password = click.prompt(f"Vault password ({label})", hide_input=True, err=True)
    path = private / f"{label}-password"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(password + "\n")
    return path
