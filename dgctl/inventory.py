"""Opens an inventory with Ansible's own parsers; says what is wrong with a file that they refuse."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

from dgctl import content
from dgctl.errors import DgctlError, Exit, Problem
from dgctl.locate import Origin, shown, where
from dgctl.vault import VaultOptions

os.environ["ANSIBLE_CONFIG"] = str(content.root() / "ansible.cfg")  # before Ansible is imported

from ansible.errors import AnsibleError
from ansible.inventory.data import InventoryData
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecretsContext, get_file_vault_secret
from ansible.plugins.loader import init_plugin_loader, inventory_loader
from ansible.utils.collection_loader import AnsibleCollectionConfig

if not AnsibleCollectionConfig.collection_finder:
    init_plugin_loader()  # without it Ansible finds no plugin by its full name, such as ansible.builtin.env

_NO_REASON = ("Failed to parse inventory.", "Failed to parse inventory")
YAML_NAMES = (".yml", ".yaml", ".json")


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Ansible's warnings go to the returned buffer, not between dgctl's lines."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        yield said


def loader(vault: VaultOptions) -> DataLoader:
    """Ansible's file reader, with the vault's passwords."""
    reader = DataLoader()
    reader.set_basedir(str(content.root() / "playbooks"))  # group_vars of the current folder mean nothing
    secrets = []
    for label, path in vault.files:
        secret = get_file_vault_secret(filename=str(path), vault_id=label, loader=reader)
        secret.load()
        secrets.append((label, secret))
    reader.set_vault_secrets(secrets)
    if context := VaultSecretsContext.current(optional=True):  # for single values under `!vault`
        context.secrets = secrets
    else:
        VaultSecretsContext.initialize(VaultSecretsContext(secrets))
    return reader


def open_inventory(path: Path, reader: DataLoader) -> InventoryManager:
    """The parsed inventory; raises DgctlError (exit 3) for one that cannot be read."""
    _refuse_unreadable(path)
    try:
        with quiet():
            return InventoryManager(loader=reader, sources=[str(path.absolute())])
    except AnsibleError as error:
        refusal = error
    # Outside of `except`: an error that is raised in it has the manager's, which says nothing, as its context.
    raise DgctlError(_diagnose(path, reader, refusal), Exit.INVALID) from refusal


def _refuse_unreadable(path: Path) -> None:
    said = _unreadable(path)
    if said:
        what, fix = said
        raise DgctlError(Problem(what, where=shown(path), fix=fix), Exit.INVALID)


def _unreadable(path: Path) -> tuple[str, str] | None:
    if path.is_dir():
        return "the inventory is a directory", f"name the file in it: {shown(path / 'inventory.ini')}"
    if not path.exists():
        return (
            "the inventory does not exist",
            f"check the path, or write one: dgctl init {shown(path.parent)}",
        )
    if not os.access(path, os.R_OK):
        return "the inventory cannot be read", f"give yourself permission: chmod u+r {shown(path)}"
    text = path.read_bytes()
    interpreter = text[2:].split(maxsplit=1)[:1] if text.startswith(b"#!") else []
    if interpreter and not os.path.exists(interpreter[0]):
        name = interpreter[0].decode(errors="replace")
        return f"the inventory is a script, and its interpreter {name} is not there", "correct its first line"
    if not text.strip():
        return "the inventory is empty", "name at least one server under [node]: gpu1 ansible_host=ADDRESS"
    return None


def refused(files: list[Path], reader: DataLoader) -> tuple[Path, AnsibleError | None] | None:
    """The first variable file that Ansible cannot use, which its own error does not name, and why.

    No error with it: the file can be read, and is no mapping of names to values.
    """
    for path in files:
        try:
            data = reader.load_from_file(str(path.absolute()), cache="none")
        except AnsibleError as error:
            return path, error
        if data is not None and not isinstance(data, dict):
            return path, None
    return None


def _words(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(getattr(error, "_message", "") or error)).strip()


def problem_of(error: AnsibleError, path: Path, fix: str) -> Problem:
    """An error of Ansible's as a Problem: its own words, and file:line when it knows them."""
    causes, cause = [], error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    # The innermost of Ansible's own: what Python raised below it is worded for its authors.
    own = [each for each in causes if isinstance(each, AnsibleError) and _words(each) not in _NO_REASON] or causes
    what = _words(own[-1])
    located = [where(getattr(each, "obj", None)) for each in causes]
    return Problem(what.rstrip("."), next((text for text in located if ":" in text), shown(path)), fix=fix)


def _diagnose(path: Path, reader: DataLoader, error: AnsibleError) -> Problem:
    """What the parser for this kind of file said (the manager only says that none could read it)."""
    text = path.read_bytes()
    if text.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        fix = f"write it anew without: sed -i '1s/^\\xEF\\xBB\\xBF//' {shown(path)}"
        return Problem("the inventory begins with a byte order mark", f"{shown(path)}:1", fix=fix)
    kind = "script" if os.access(path, os.X_OK) else "yaml" if path.suffix in YAML_NAMES else "ini"
    if text.startswith(b"#!") and kind != "script":
        return Problem("the inventory is a script that may not be run", shown(path), fix=f"chmod +x {shown(path)}")
    error = _refusal(kind, path, reader) or error
    if kind == "script":
        return _of_script(error, path)
    found = problem_of(error, path, "correct this line; inventories/example/inventory.ini shows the form")
    where = found.where if kind == "yaml" else _ini_line(path, reader) or found.where
    line = _line(text, where).strip()
    if kind == "ini" and line.startswith("[") and "]" not in line:
        return Problem("the inventory cannot be parsed: a group's name has no closing bracket", where, line, f"{line}]")
    return Problem(f"the inventory cannot be parsed: {found.what}", where, fix=found.fix)


def _line(text: bytes, where: str) -> str:
    """The line that `file:line` names; empty where it names none."""
    lines, number = text.decode(errors="replace").splitlines(), where.rpartition(":")[2]
    return lines[int(number) - 1] if number.isdecimal() and 0 < int(number) <= len(lines) else ""


def _refusal(kind: str, path: Path, reader: DataLoader) -> Exception | None:
    """Why Ansible's plugin of this name does not take the file; also what it did not mean to raise."""
    try:
        with quiet():
            inventory_loader.get(kind).parse(InventoryData(), reader, str(path.absolute()), cache=False)
    except Exception as refusal:  # for some mistakes (a group that is its own child) plugins raise what Python raises
        return refusal
    return None


def _of_script(error: Exception, path: Path) -> Problem:
    """A script that ended with an error, cannot be started, or printed something else than Ansible's JSON."""
    found = problem_of(error, path, f"run it by hand until it prints JSON: {shown(path.absolute())} --list")
    said = str(getattr(error, "_help_text", "") or "").strip().splitlines()
    return Problem(f"the inventory's script failed: {found.what}", shown(path), said[-1] if said else "", found.fix)


def _ini_line(path: Path, reader: DataLoader) -> str:
    """The line at which the INI parser stops: it counts lines, but drops the number from its error."""
    plugin = inventory_loader.get("ini")
    plugin.inventory, plugin.loader, plugin._origin = (
        InventoryData(),
        reader,
        Origin(path=str(path.absolute()), line_num=0),
    )
    try:
        with quiet():
            plugin._parse(path.read_text(encoding="utf-8", errors="replace").splitlines())
    except Exception:  # whatever the broken line made the parser raise
        return where(plugin._origin)
    return ""
