"""Opens an inventory with Ansible's own parsers."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

from dgctl import content
from dgctl.base.errors import DgctlError, Exit
from dgctl.deployment import inventory_dropped, inventory_file, vault_secrets
from dgctl.deployment.inventory_mistakes import holding_itself
from dgctl.deployment.inventory_refusal import diagnose
from dgctl.deployment.vault import VaultOptions

os.environ["ANSIBLE_CONFIG"] = str(content.root() / "ansible.cfg")  # before Ansible is imported

from ansible import constants
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecretsContext
from ansible.plugins.loader import init_plugin_loader
from ansible.utils.collection_loader import AnsibleCollectionConfig

if AnsibleCollectionConfig.collection_finder is None:  # else `lookup('ansible.builtin.env', ...)` is not found
    init_plugin_loader()


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Ansible's warnings go to the returned buffer, not between dgctl's lines."""
    with contextlib.redirect_stderr(io.StringIO()) as reported:
        yield reported


def loader(vault: VaultOptions) -> DataLoader:
    """Ansible's file reader, with the vault's passwords; raises DgctlError (exit 2) for one that cannot be had."""
    reader = DataLoader()
    reader.set_basedir(str(content.root() / "playbooks"))  # group_vars of the current folder mean nothing
    secrets = vault_secrets.load(vault, reader)
    if context := VaultSecretsContext.current(optional=True):  # for single values under `!vault`
        context.secrets = secrets
    else:
        VaultSecretsContext.initialize(VaultSecretsContext(secrets))
    return reader


def open_inventory(path: Path, reader: DataLoader, vault: VaultOptions) -> InventoryManager:
    """The parsed inventory, a usable file; raises DgctlError (exit 3) for one that cannot be read."""
    text = path.read_bytes()
    kind = inventory_file.kind(path, text)
    try:
        with quiet(), _only(kind):
            manager = InventoryManager(loader=reader, sources=[str(path.absolute())])
    except (AnsibleError, RecursionError) as error:
        refusal = error
    else:
        if dropped := list(inventory_dropped.problems(kind, path, text.decode(errors="replace"))):
            raise DgctlError(dropped, Exit.INVALID)
        return manager
    if vault_secrets.is_about_a_vault(refusal) or text.startswith(b"$ANSIBLE_VAULT"):
        raise DgctlError(vault_secrets.shut(path, vault), Exit.INVALID) from refusal
    # Outside of `except`: an error that is raised in it has the manager's, which says nothing, as its context.
    raise DgctlError(diagnose(path, reader, refusal), Exit.INVALID) from refusal


@contextlib.contextmanager
def _only(kind: str) -> Iterator[None]:
    """Lets no other plugin read a script: to the one for INI files it is often a file of comments, and no error."""
    constants.INVENTORY_ANY_UNPARSED_IS_FAILED = (
        True  # as ansible.cfg has it, should somebody have imported Ansible before
    )
    enabled = constants.INVENTORY_ENABLED
    constants.INVENTORY_ENABLED = ["script"] if kind == "script" else enabled
    try:
        yield
    finally:
        constants.INVENTORY_ENABLED = enabled


def refused(files: list[Path], reader: DataLoader) -> tuple[Path, Exception | None] | None:
    """The first variable file that Ansible cannot use, which its own error does not name, and why.

    No error with it: the file can be read, and is no mapping of names to values.
    """
    for path in files:
        try:
            data = reader.load_from_file(str(path.absolute()), cache="none")
        except (AnsibleError, RecursionError) as error:
            return path, error
        if holding_itself(path.read_text(encoding="utf-8", errors="replace")):
            return path, RecursionError()
        if data is not None and not isinstance(data, dict):
            return path, None
    return None
