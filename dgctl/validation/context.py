"""What every topic of validation looks at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dgctl import content
from dgctl.base import display, names
from dgctl.base.errors import Problem
from dgctl.base.locate import where
from dgctl.content import schema
from dgctl.content.schema import faults
from dgctl.content.specs import Option
from dgctl.deployment.deployment import GROUPS, Deployment, Host

PLACEHOLDER = "CHANGE_ME"
_SECRET = re.compile(r"(_password|_pass|_passphrase|_api_key|_secret|_token)$")


@dataclass
class Context:
    """A deployment, and the public variables of the roles that serve it."""

    deployment: Deployment
    options: dict[str, Option]
    _judged: dict[tuple[str, str], list[faults.Fault]] = field(default_factory=dict)

    @cached_property
    def served(self) -> list[Host]:
        """Hosts in a group that dgctl knows: only their variables matter."""
        return [host for host in self.deployment.hosts.values() if set(host.groups) & set(GROUPS)]

    @cached_property
    def ansible(self) -> set[str]:
        """The ansible_* variables that mean something to the connections in use."""
        used = {str(host.vars.get("ansible_connection", "ssh")) for host in self.served}
        return names.ansible_names(used - {"ssh", "local", "smart"})

    @cached_property
    def variables(self) -> dict[str, schema.Variable]:
        """The schemas of all public variables, and of Ansible's for the way to a server."""
        return schema.variables(content.root())

    @cached_property
    def listening(self) -> dict[str, dict[str, Any]]:
        """Variable with a port -> its `listens`."""
        return {name: each.schema["listens"] for name, each in self.variables.items() if "listens" in each.schema}

    def parts(self, host: Host) -> set[str]:
        """What runs on the server: of engine, api, license_proxy, billing and proxy."""
        found = host.vars.get("preflight_parts")
        return {str(part) for part in found} if isinstance(found, list) else set()

    def faults(self, name: str, value: Any) -> list[faults.Fault]:
        """What is wrong with a value of variable `name`; equal values of many servers are judged once."""
        key = (name, f"{type(value).__name__} {value!r}")
        if key not in self._judged:
            self._judged[key] = faults.faults(self.variables[name], value)
        return self._judged[key]

    def secret(self, name: str) -> bool:
        return bool(_SECRET.search(name)) or (name in self.options and self.options[name].secret)

    def set_values(self, host: Host) -> Iterator[tuple[str, Any]]:
        """(name, rendered value) of what the inventory sets, without what only the server can render."""
        for name in host.written:
            if name not in host.unrendered:
                yield name, host.vars[name]

    def problem(self, host: Host, name: str, what: str, fix: str, value: Any = None) -> Problem:
        """A problem with variable `name`: its place in a file, or the host; a secret's value is not shown."""
        shown = "" if value is None else self.shown(name, (), str(value))
        return Problem(what, self.deployment.where(host, name) or host.name, shown, fix)

    def shown(self, name: str, path: tuple[str | int, ...], text: str) -> str:
        """A value as an error shows it: nothing of a secret, which a variable or a key on the path to it may be."""
        secret = any(isinstance(step, str) and (self.secret(step.lower()) or step == "key") for step in (name, *path))
        return "" if secret else display.value(text)

    def place(self, host: Host, name: str, path: tuple[str | int, ...]) -> str:
        """`file:line` of a part of a variable, or of the variable where Ansible remembers no more; or the host."""
        here, found = host.written.get(name), ""
        try:
            for step in path:
                here = here[step]
                found = where(here) or found
        except (KeyError, IndexError, TypeError):  # the variable is a template: its parts stand nowhere
            found = ""
        return found or self.deployment.where(host, name) or host.name


def has(value: Any, text: str) -> bool:
    """Whether `text` stands anywhere in a value (a string, or strings in lists and dicts)."""
    if isinstance(value, dict):
        return any(has(item, text) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return any(has(item, text) for item in value)
    return isinstance(value, str) and text in value
