"""The keys of callers in a deployment's folder: group_vars/all/callers.yml, which holds names and digests and no key."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.deployment.inventory_edit import write

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")
OWN = "dgctl"  # what the access log calls the proxy's own checks
VARIABLE, CALLERS = "nginx_proxy_keys", "nginx_proxy_callers"
HEADER = """\
# Written by `dgctl keys`: who may call. Of each key its SHA-256, which tells nobody the key. `dgctl provision` tells the proxies.
"""


def path(inventory: Path) -> Path:
    """The file beside an inventory. Raises DgctlError (exit 3) where Ansible would then read another one no more."""
    folder = (inventory if inventory.is_dir() else inventory.parent) / "group_vars"
    for name in ("all.yml", "all.yaml", "all.json", "all"):
        if (folder / name).is_file():
            place, new = shown(folder / name), shown(folder / "all")
            fix = f"mv {place} {place}.moved && mkdir {new} && mv {place}.moved {new}/main.yml"
            raise DgctlError(
                Problem("Ansible reads either this file, or the folder that the keys go to", place, fix=fix),
                Exit.INVALID,
            )
    return folder / "all" / "callers.yml"


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """One at a time edits the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read(file: Path) -> dict[str, Any]:
    """What the file says: nginx_proxy_callers, and nginx_proxy_keys as {name: {sha256, added}}. Raises DgctlError (exit 3)."""
    text = file.read_text() if file.exists() else ""
    try:
        reported = yaml.safe_load(text) or {}
        keys = reported.get(VARIABLE) or {}
        if not all(isinstance(key, dict) and isinstance(key.get("sha256"), str) for key in keys.values()):
            raise ValueError(f"{VARIABLE} is no mapping of names to {{sha256, added}}")
    except (yaml.YAMLError, ValueError, AttributeError) as error:
        what = "the file cannot be edited: it is not as dgctl wrote it"
        fix = (
            f"correct it, or edit it by hand: ansible-vault edit {shown(file)}"
            if text.startswith("$ANSIBLE")
            else "correct it"
        )
        raise DgctlError(Problem(what, shown(file), str(error).split("\n")[0], fix), Exit.INVALID) from error
    return {CALLERS: "keys", **reported, VARIABLE: keys}


def add(inventory: Path, name: str) -> str:
    """A new key for a caller, of 256 random bits: it is returned, and stands nowhere."""
    file = path(inventory)
    with _alone(file):
        reported = read(file)
        if name in reported[VARIABLE]:
            fix = f"give another name, such as {name}-2: both serve until the old one is revoked"
            raise DgctlError(Problem("a caller of this name has a key", shown(file), name, fix), Exit.USAGE)
        key = secrets.token_hex(32)
        today = datetime.now(UTC).date().isoformat()
        reported[VARIABLE][name] = {"sha256": hashlib.sha256(key.encode()).hexdigest(), "added": today}
        _write(file, reported)
    return key


def revoke(inventory: Path, name: str) -> None:
    """Takes a caller's key out. Without any key left nobody may call: it opens nothing."""
    file = path(inventory)
    with _alone(file):
        reported = read(file)
        if name not in reported[VARIABLE]:
            known = ", ".join(sorted(reported[VARIABLE])) or "none"
            raise DgctlError(
                Problem("no caller of this name has a key", shown(file), name, f"give one of: {known}"), Exit.USAGE
            )
        del reported[VARIABLE][name]
        _write(file, reported)


def _write(file: Path, reported: dict[str, Any]) -> None:
    file.touch(mode=0o644)
    write(file, HEADER + yaml.safe_dump(reported, sort_keys=True, allow_unicode=True))
