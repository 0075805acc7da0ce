"""Writes a new deployment: the commented example, with placeholders that `validate` points at."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from dgctl import content
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.output.report import Outcome
from dgctl.run.session import Session

SECRETS = "group_vars/all/vault.yml"
GITIGNORE = f"""\
# Run records of dgctl, and the vault's password.
.dgctl/
.vault_pass
# The authority of the APIs' certificates (deepgram_api_tls).
api-authority/
# Take this line out once the file is encrypted: then it may be committed.
{SECRETS}
"""


def init(session: Session) -> Outcome:
    """Writes into the session's folder; raises DgctlError (exit 2) rather than overwrite anything."""
    target, source = session.inventory, content.root() / "inventories" / "example"
    files = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    _refuse_existing(target, [*files, Path(".gitignore")])
    made: list[Path] = []
    try:
        _copy(source, target, files, made)
    except OSError as error:
        for path in made:
            path.unlink(missing_ok=True)
        problem = Problem("the folder cannot be written", shown(target), error.strerror or "", "choose another one")
        raise DgctlError(problem, Exit.USAGE) from error
    return _outcome(target)


def _refuse_existing(target: Path, files: list[Path]) -> None:
    if target.exists() and not target.is_dir():
        raise DgctlError(Problem("this is a file, not a folder", shown(target), fix="name a new folder"), Exit.USAGE)
    there = [path for path in files if (target / path).exists()]
    if there:
        names = ", ".join(str(path) for path in there)
        fix = "nothing was written: name a new folder, or move these files away"
        raise DgctlError(Problem("files of a deployment are there already", shown(target), names, fix), Exit.USAGE)


def _copy(source: Path, target: Path, files: list[Path], made: list[Path]) -> None:
    for path in files:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        made.append(target / path)
        (target / path).touch(mode=0o600 if str(path) == SECRETS else 0o644, exist_ok=False)
        shutil.copyfile(source / path, target / path)
    made.append(target / ".gitignore")
    (target / ".gitignore").write_text(GITIGNORE)


def _outcome(target: Path) -> Outcome:
    steps = f"""\
Wrote {shown(target)}/. Replace every CHANGE_ME in:
  {shown(target / "inventory.ini")}            your server's address and user
  {shown(target / "group_vars/all/main.yml")}  the model links
  {shown(target / SECRETS)} the API key and the registry's password
To encrypt the secrets: ansible-vault encrypt {shlex.quote(shown(target / SECRETS))}
Done"""
    return Outcome(summary=steps, next_command=f"dgctl validate {shlex.quote(shown(target / 'inventory.ini'))}")
