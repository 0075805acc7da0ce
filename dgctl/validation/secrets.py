"""Secrets at rest: encrypted, or in a file that only its owner can read; never in the inventory itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dgctl import content
from dgctl.base.errors import Problem
from dgctl.base.locate import origin, shown
from dgctl.content import specs
from dgctl.deployment.deployment import Deployment
from dgctl.validation.context import PLACEHOLDER, Context, has


def problems(context: Context) -> Iterator[Problem]:
    judged: set[tuple[str, int]] = set()
    for host in context.deployment.hosts.values():
        for name, value in host.written.items():
            # Judged once for all hosts that have it from one file.
            if (name, id(value)) in judged or not context.secret(name) or not in_clear(value):
                continue
            judged.add((name, id(value)))
            place = origin(value)
            path = Path(place[0]) if place else context.deployment.inventory
            yield from _judge(context, path, context.deployment.where(host, name), name)


def in_clear(value: Any) -> bool:
    """Whether a value as written is itself the secret: no `!vault`, template or placeholder."""
    if type(value).__name__ == "EncryptedString" or not isinstance(value, str) or not value:
        return False
    return not has(value, "{{") and not has(value, PLACEHOLDER)


def encrypted(path: Path) -> bool:
    """Whether the whole file is encrypted by ansible-vault."""
    with path.open("rb") as file:
        return file.read(14) == b"$ANSIBLE_VAULT"


def _judge(context: Context, path: Path, where: str, name: str) -> Iterator[Problem]:
    if encrypted(path):
        return
    if path.samefile(context.deployment.inventory):
        fix = "move it to group_vars/all/vault.yml, and encrypt that with ansible-vault"
        yield Problem(f"{name} is a secret and stands in clear in the inventory", where, fix=fix)
        return
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        fix = f"chmod 600 {shown(path)}, or better: ansible-vault encrypt {shown(path)}"
        yield Problem(f"{name} is a secret in a file that others can read", where, f"mode {mode:04o}", fix)


def values(deployment: Deployment) -> set[str]:
    """Every secret text, so that no record holds one: by its name, or because a vault held it."""
    context = Context(deployment, specs.options(content.root()))
    found: set[str] = set()
    for host in deployment.hosts.values():
        for name, written in host.written.items():  # a role's default is made of others, and holds none of its own
            value = host.vars[name]
            if context.secret(name):
                found |= {text for text in _texts(value) if len(text) >= 4}
            elif vaulted(written):
                found |= {text for text in _texts(value) if len(text) >= 12}  # `docker` in a vault is no secret
    return found


def vaulted(value: Any) -> bool:
    """Whether a value as written stands in a vault."""
    if type(value).__name__ == "EncryptedString":
        return True
    place = origin(value)
    return bool(place) and Path(place[0]).is_file() and encrypted(Path(place[0]))


def _texts(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {text for item in value.values() for text in _texts(item)}
    if isinstance(value, list):
        return {text for item in value for text in _texts(item)}
    return {value} if isinstance(value, str) else set()
