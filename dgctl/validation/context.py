"""What every topic of validation looks at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dgctl import display, names
from dgctl.deployment import GROUPS, Deployment, Host
from dgctl.errors import Problem
from dgctl.specs import Option

PLACEHOLDER = "CHANGE_ME"
_SECRET = re.compile(r"(_password|_pass|_passphrase|_api_key|_secret|_token)$")


@dataclass
class Context:
    """A deployment, and the public variables of the roles that serve it."""

    deployment: Deployment
    options: dict[str, Option]

    @cached_property
    def served(self) -> list[Host]:
        """Hosts in a group that dgctl knows: only their variables matter."""
        return [host for host in self.deployment.hosts.values() if set(host.groups) & set(GROUPS)]

    @cached_property
    def ansible(self) -> set[str]:
        """The ansible_* variables that mean something to the connections in use."""
        used = {str(host.vars.get("ansible_connection", "ssh")) for host in self.served}
        return names.ansible_names(used - {"ssh", "local", "smart"})

    def secret(self, name: str) -> bool:
        return bool(_SECRET.search(name)) or (name in self.options and self.options[name].secret)

    def set_values(self, host: Host) -> Iterator[tuple[str, Any]]:
        """(name, rendered value) of what the inventory sets, without what only the server can render."""
        for name in host.written:
            if name not in host.unrendered:
                yield name, host.vars[name]

    def problem(self, host: Host, name: str, what: str, fix: str, value: Any = None) -> Problem:
        """A problem with variable `name`: its place in a file, or the host; a secret's value is not shown."""
        shown = "" if value is None or self.secret(name) else display.value(str(value))
        return Problem(what, self.deployment.where(host, name) or host.name, shown, fix)


def has(value: Any, text: str) -> bool:
    """Whether `text` stands anywhere in a value (a string, or strings in lists and dicts)."""
    if isinstance(value, dict):
        return any(has(item, text) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return any(has(item, text) for item in value)
    return isinstance(value, str) and text in value
