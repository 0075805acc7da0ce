"""Reads the corpus (rows/GROUP.yml: hostile but fair inputs) and runs a row of it; each row is one mistake of a user's."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests import yaml_file
from tests.paths import PROJECT

ROWS = Path(__file__).parent / "rows"
KEY = "key-of-the-corpus"
BASE = {
    "inventory.ini": "[node]\ngpu1 ansible_host=192.0.2.11\n\n"
    "[all:vars]\nansible_user=ops\ndeepgram_release=release-260812\n",
    "group_vars/all/main.yml": "deepgram_models_links:\n  - https://models.example.com/nova-3.dg\n",
    "group_vars/all/vault.yml": f"deepgram_api_key: {KEY}\n",
}
# What root may do with files whose mode forbids it.
_RIGHTS = "--bounding-set=-dac_override,-dac_read_search"
SECONDS = 60
# U+E0XX in a row stands for the byte XX, for texts that are no UTF-8.
BYTES = {0xE000 + byte: 0xDC00 + byte for byte in range(0x80, 0x100)}


@dataclass(frozen=True)
class Row:
    """One input and what must come of it. Paths are relative to the deployment's folder, in which the row runs.

    `vars` are added to group_vars/all/zz.yml, `inventory` replaces inventory.ini, `files` are written, `links` made, paths
    `encrypt`ed with ansible-vault (path: LABEL@PASSWORD) and `remove`d, `mode`s set last. In a text `{dir}` is the folder,
    `{inv}` the inventory.
    `run`: the words after `dgctl`; `shell`: a command for sh instead, with `dgctl` on its PATH.
    `process`: a process of its own; `unprivileged`: one for which modes count also when root runs the tests.
    `env`: variables of the environment, set, or unset with null. `stdin`: what is typed.
    `changes`: it may change files of the deployment.
    """

    group: str
    row: str
    exit: int
    says: list[str] = field(default_factory=list)
    never: list[str] = field(default_factory=list)
    vars: dict[str, Any] = field(default_factory=dict)
    inventory: str = ""
    files: dict[str, str] = field(default_factory=dict)
    encrypt: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    mode: dict[str, str] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)
    run: list[str] = field(default_factory=lambda: ["validate", "{inv}"])
    shell: str = ""
    process: bool = False
    unprivileged: bool = False
    env: dict[str, str | None] = field(default_factory=dict)
    stdin: str = ""
    changes: bool = False

    @property
    def command(self) -> str:
        """What is typed, for a person."""
        return self.shell or shlex.join(["dgctl", *self.run])


@dataclass(frozen=True)
class Result:
    """How a row ended; `text` is stdout and stderr."""

    code: int
    text: str


def rows(group: str = "*") -> list[Row]:
    """Every row of a group, or of all groups by name."""
    return [Row(group=path.stem, **row) for path in sorted(ROWS.glob(f"{group}.yml")) for row in yaml_file.read(path)]


def prepare(row: Row, folder: Path) -> None:
    """Writes the row's deployment into an empty folder."""
    texts = dict(BASE)
    if row.inventory:
        texts["inventory.ini"] = row.inventory
    if row.vars:
        texts["group_vars/all/zz.yml"] = yaml.safe_dump(row.vars, allow_unicode=True)
    for name, text in (texts | row.files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(text, folder).translate(BYTES), encoding="utf-8", errors="surrogateescape", newline="")
        path.chmod(0o600)
    for name, secret in row.encrypt.items():
        (folder / name).write_bytes(_encrypted((folder / name).read_bytes(), *secret.split("@")))
    for name in row.remove:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, target in row.links.items():
        (folder / name).symlink_to(_filled(target, folder))
    for name, mode in row.mode.items():
        (folder / name).chmod(int(mode, 8))


def _encrypted(text: bytes, label: str, password: str) -> bytes:
    from ansible.parsing.vault import VaultLib, VaultSecret

    secret = VaultSecret(password.encode())
    return VaultLib([(label, secret)]).encrypt(text, secret, vault_id=label if label != "default" else None)


def run(row: Row, folder: Path) -> Result:
    """Runs a prepared row."""
    with _inside(folder), _environment(row, folder):
        if row.process or row.shell or row.unprivileged:
            return _in_a_process(row, folder)
        return _here(row, folder)


def _here(row: Row, folder: Path) -> Result:
    from click.testing import CliRunner

    from dgctl.cli import main

    done = CliRunner().invoke(main, [_filled(word, folder) for word in row.run], input=row.stdin, prog_name="dgctl")
    trouble = f"\nTraceback: {done.exception!r}" if done.exc_info and done.exc_info[0] is not SystemExit else ""
    return Result(done.exit_code, done.output + trouble)


def _in_a_process(row: Row, folder: Path) -> Result:
    shell = row.shell or shlex.join(["dgctl", *row.run])
    words = ["setpriv", _RIGHTS] if row.unprivileged and not os.geteuid() else []
    dgctl = f'dgctl() {{ {shlex.quote(sys.executable)} -m dgctl "$@"; }}\n'
    done = subprocess.run(
        [*words, "bash", "-c", dgctl + _filled(shell, folder)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, input=row.stdin.encode(), timeout=SECONDS,
    )  # fmt: skip
    return Result(done.returncode, done.stdout.decode(errors="replace"))


def _filled(text: str, folder: Path) -> str:
    return text.replace("{dir}", str(folder)).replace("{inv}", "inventory.ini")


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _environment(row: Row, folder: Path) -> Iterator[None]:
    before = dict(os.environ)
    # A home of its own: what the tester has in ~/.ansible, ~/.ssh and for colours is no part of a row.
    home = {"HOME": str(folder), "ANSIBLE_HOME": str(folder / ".ansible"), "PYTHONPATH": str(PROJECT)}
    os.environ.update(home | {"TERM": "dumb", "PYTHONDONTWRITEBYTECODE": "1"})
    for name, value in row.env.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = _filled(value, folder)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
