"""Opens vault passwords for Ansible's reader, and says why a vault stays shut: no password, another one, or damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.deployment.inventory_refusal import chain, words
from dgctl.deployment.vault import VaultOptions

_DAMAGED = "restore it from a backup, or write it again and encrypt it: ansible-vault encrypt"


def load(vault: VaultOptions, reader: Any) -> list[tuple[str, Any]]:
    """(label, secret) of each password; raises DgctlError (exit 2) for a file or script that gives none."""
    from ansible.errors import AnsibleError
    from ansible.parsing.vault import get_file_vault_secret

    secrets = []
    for label, path in vault.files:
        try:
            secret = get_file_vault_secret(filename=str(path), vault_id=label, loader=reader)
            secret.load()
        except (AnsibleError, ValueError) as error:
            raise DgctlError(_no_password(error, path), Exit.USAGE) from error
        secrets.append((label, secret))
        reader.set_vault_secrets(secrets)  # a later password file may be encrypted with an earlier password
    return secrets


def _no_password(error: Exception, path: Path) -> Problem:
    reported = " ".join(words(each) for each in chain(error))
    fix = "write the password into it, on one line"
    if "Invalid vault password" in reported or not ("non-zero" in reported or "script" in reported):
        what = (
            "the vault password file is encrypted itself" if "crypt" in reported else "the vault password file is empty"
        )
        return Problem(what, shown(path), fix=fix)
    what = words(error).replace(str(path), shown(path)).removesuffix(": None").rstrip(".")
    fix = f"run it by hand until it prints the password alone; chmod -x {shown(path)} if it holds it"
    return Problem(f"the vault password script failed: {what}", shown(path), fix=fix)


def is_about_a_vault(error: BaseException) -> bool:
    """Whether an error of Ansible's is that something encrypted does not open."""
    reported = " ".join(words(each) for each in chain(error)).lower()
    return "decrypt" in reported or "cipher" in reported or ("vault" in reported and "vault.yml" not in reported)


def shut(path: Path, vault: VaultOptions, where: str = "") -> Problem:
    """Why an encrypted file does not open."""
    return shut_text(path.read_bytes(), vault, where or shown(path))


def shut_value(value: Any, where: str) -> Problem:
    """The same of a value under `!vault`, whose passwords are known to Ansible alone."""
    problem = shut_text(str(getattr(value, "_ciphertext", "")).encode(), VaultOptions((("", Path()),)), where)
    return Problem(problem.what, where, fix=problem.fix)


def shut_text(text: bytes, vault: VaultOptions, where: str) -> Problem:
    """The same of what an encrypted file or value holds."""
    from ansible.errors import AnsibleError
    from ansible.parsing.vault import CIPHER_MAPPING, parse_vaulttext, parse_vaulttext_envelope

    try:
        body, version, cipher, label = parse_vaulttext_envelope(text)
        if version not in (b"1.1", b"1.2") or cipher not in CIPHER_MAPPING:
            raise ValueError(f"version {version.decode(errors='replace')}, cipher {cipher}")
        parse_vaulttext(body)
    except (AnsibleError, ValueError, TypeError):
        return Problem(
            "it is encrypted, and damaged: what follows its header is no vault of Ansible's", where, fix=_DAMAGED
        )
    named = f" with the vault id {label}" if label != "default" else ""
    option = f"--vault-id {label}@FILE" if named else "--ask-vault-pass, --vault-password-file FILE, or .vault_pass"
    if not vault.files:
        return Problem(f"it is encrypted{named}, and no password was given", where, fix=f"give its password: {option}")
    given = ", ".join(dict.fromkeys(each for each, _ in vault.files))
    what = f"it is encrypted{named}, and no given password opens it: the password is wrong, or the file is damaged"
    return Problem(what, where, f"given: {given}", f"give the right one: {option}")
