"""Where vault passwords come from, in the words of ansible-playbook's own options and variables of the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dgctl.base import scratch
from dgctl.base.errors import DgctlError, Exit, Problem

PASSWORD_FILE = ".vault_pass"
ID_LIST, ONE_FILE = "ANSIBLE_VAULT_IDENTITY_LIST", "ANSIBLE_VAULT_PASSWORD_FILE"


@dataclass(frozen=True)
class VaultOptions:
    """Vault passwords as (label, file) pairs; a prompted one is a private file during the run."""

    files: tuple[tuple[str, Path], ...] = ()

    def arguments(self) -> list[str]:
        """The same passwords as options of ansible-playbook, ansible-inventory and ansible."""
        return [word for label, path in self.files for word in ("--vault-id", f"{label}@{path}")]


@contextmanager
def opened(inventory: Path, password_files: tuple[str, ...], ids: tuple[str, ...], ask: bool) -> Iterator[VaultOptions]:
    """The passwords of a run, from its options, from `.vault_pass` beside the inventory, and from Ansible's environment.

    Prompted passwords live in a private folder (0700) that is gone when the run ends.
    """
    with scratch.folder("vault") as private, _environment() as (listed, file):
        pairs = [("default", _existing(path)) for path in password_files]
        pairs += [_from_id(text, private) for text in ids]
        if ask:
            pairs.append(("default", _prompted("default", private)))
        beside = inventory.parent / PASSWORD_FILE
        if os.path.exists(beside):  # False, too, where the folder may not be entered: the inventory's error says so
            pairs.append(("default", _private(beside)))
        pairs += _of_environment(listed, file, private, bool(pairs))
        yield VaultOptions(tuple(pairs))


@contextmanager
def _environment() -> Iterator[tuple[list[str], str]]:
    """What Ansible's own variables name: (ids, password file). Absent for what runs inside: it is told by options."""
    before = {name: os.environ.pop(name) for name in (ID_LIST, ONE_FILE) if name in os.environ}
    try:
        yield [text.strip() for text in before.get(ID_LIST, "").split(",") if text.strip()], before.get(ONE_FILE, "")
    finally:
        os.environ.update(before)


def _of_environment(listed: list[str], file: str, private: Path, others: bool) -> list[tuple[str, Path]]:
    """Those that can be read: as Ansible, one that cannot is an error only where there is no other password."""
    found, error = [], None
    for name, text in (*((ID_LIST, text) for text in listed), *([(ONE_FILE, f"default@{file}")] if file else [])):
        try:
            found.append(_from_id(text, private, name))
        except DgctlError as refused:
            error = refused
    if error and not found and not others:
        raise error
    return found


def _from_id(text: str, private: Path, option: str = "--vault-id") -> tuple[str, Path]:
    label, separator, source = text.partition("@")
    label, source = (label or "default", source) if separator else ("default", text)
    return label, _prompted(label, private) if source == "prompt" else _existing(source, option)


def _existing(source: str, option: str = "--vault-password-file") -> Path:
    why = "no file is named"
    if source:
        path = Path(os.path.expanduser(source)).absolute()
        if os.path.isfile(path) and os.access(path, os.R_OK):
            return path
        why = (
            "it is a directory"
            if os.path.isdir(path)
            else "no permission"
            if os.path.exists(path)
            else "it does not exist"
        )
    fix = "give the path of a file that you may read, or use --ask-vault-pass"
    raise DgctlError(Problem(f"the vault password file cannot be read: {why}", option, source, fix), Exit.USAGE)


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
    password = _typed(f"Vault password ({label}): ")
    if not password:
        fix = "type it, or name a file that holds it: --vault-password-file FILE"
        raise DgctlError(Problem(f"no vault password was typed for {label}", "stdin", fix=fix), Exit.USAGE)
    path = private / f"{label}-password"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(password + "\n")
    return path


def _typed(prompt: str) -> str:
    """What is typed on the terminal, unseen; from a pipe its first line."""
    import getpass

    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    return getpass.getpass(prompt)
