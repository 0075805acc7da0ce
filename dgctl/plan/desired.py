"""What a server should be, as fingerprints: one a role, over the role's content and every variable that it can see."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dgctl import content
from dgctl.content import roles, specs
from dgctl.deployment import topology
from dgctl.deployment.deployment import Deployment, Host
from dgctl.validation.context import Context
from dgctl.validation.secrets import vaulted

# Variables of Ansible's own that roles may read. Others (users, keys, ports of SSH) lead to a server and do not change it.
_ANSIBLES = ("inventory_hostname", "ansible_host")
_OTHERS = ("hostvars", "groups")
# The name, among a role's variables, of the digest of what it reads of other servers.
OTHERS = "other servers"
_QUERY = re.compile(r"(\w+://[^\s?]+)\?(\S+)")


class Desired:
    """The desired state of a deployment's servers; made once a run."""

    def __init__(self, deployment: Deployment):
        self.deployment = deployment
        self._context = Context(deployment, specs.options(content.root()))
        self._plays = [(play, play.among(deployment.groups)) for play in roles.plays()]
        self._known: dict[str, dict[str, Any]] = {}
        self._unserved: dict[str, frozenset[str]] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._same: dict[frozenset[str], frozenset[str]] = {}
        self._of_others: dict[str, str] = {}

    def roles(self, host: Host) -> list[roles.Role]:
        """The roles that make this host, in the order in which they run."""
        return [roles.role(play.role_of(host.vars)) for play, hosts in self._plays if host.name in hosts]

    def of(self, host: Host) -> dict[str, dict[str, Any]]:
        """Role -> {fingerprint, content, variables}. A secret's value is a digest, and cannot be guessed from it."""
        return {role.name: self._role(role, host) for role in self.roles(host)}

    def unsettled(self, role: roles.Role, host: Host) -> list[str]:
        """Variables of the role whose value only the server's facts could tell: they cannot be compared."""
        asked = self._known_of(host, role.words)
        for name in asked:
            host.vars.get(name)  # it is rendered when somebody asks for it, or seen to fail
        return sorted(asked & host.unrendered.keys())

    def _role(self, role: roles.Role, host: Host) -> dict[str, Any]:
        variables = self._variables(role, host)
        reported = {"content": role.content, "variables": variables}
        fingerprint = _digest(reported)
        # Most of a thousand servers are to be the same: they share what is said of them.
        return self._known.setdefault(fingerprint, {"fingerprint": fingerprint, **reported})

    def _variables(self, role: roles.Role, host: Host) -> dict[str, Any]:
        own = {"inventory_hostname": host.name} if "inventory_hostname" in role.read else {}
        values = own | {name: host.vars[name] for name in self._known_of(host, role.read)}
        found = {name: self._value(host, name, values[name]) for name in sorted(values) if _counts(name)}
        for name in sorted(role.controller_files & self._names_of(host)):
            found[f"{name} (the file)"] = _file(host.vars[name])
        if role.read & set(_OTHERS):
            found[OTHERS] = self._others(role)
        return found

    def _known_of(self, host: Host, names: frozenset[str]) -> frozenset[str]:
        """Those of the names that the host has a value of, without the variables of products that are not served there."""
        return (self._names_of(host) & names) - self._not_served(host)

    def _names_of(self, host: Host) -> frozenset[str]:
        """All variables of a host by name; one set for the many hosts that have the same."""
        if host.name not in self._names:
            names = frozenset(host.vars)
            self._names[host.name] = self._same.setdefault(names, names)
        return self._names[host.name]

    def _not_served(self, host: Host) -> frozenset[str]:
        if host.name not in self._unserved:
            names = topology.unserved(host)
            self._unserved[host.name] = self._same.setdefault(names, names)
        return self._unserved[host.name]

    def _value(self, host: Host, name: str, value: Any) -> Any:
        if not self._context.secret(name) and not (name in host.written and vaulted(host.written[name])):
            return _without_queries(value)
        return {"secret": _slow_digest(name, json.dumps(value, sort_keys=True))} if value else value

    def _others(self, role: roles.Role) -> str:
        """One digest over the groups, and what the role could read of every host: the same for each that runs it."""
        if role.name not in self._of_others:
            seen = {
                host.name: {name: self._value(host, name, host.vars[name]) for name in self._known_of(host, role.read)}
                for host in self.deployment.hosts.values()
            }
            self._of_others[role.name] = _digest([self.deployment.groups, seen])
        return self._of_others[role.name]


def _without_queries(value: Any) -> Any:
    """The value with the query of each URL, which may be a signature, as a digest."""
    if isinstance(value, dict):
        return {name: _without_queries(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_queries(item) for item in value]
    if not isinstance(value, str) or "?" not in value:
        return value
    return _QUERY.sub(lambda found: f"{found[1]}?{_digest(found[2])[:12]}", value)


def _counts(name: str) -> bool:
    return name in _ANSIBLES or not name.startswith("ansible_")


def _file(path: Any) -> str:
    """The hash of a file on this machine; empty for none."""
    text = str(path or "")
    if not text or "\n" in text:  # a variable may hold what could lie in a file
        return ""
    found = Path(os.path.expanduser(text))
    return hashlib.sha256(found.read_bytes()).hexdigest() if found.is_file() else ""


def _digest(reported: Any) -> str:
    return hashlib.sha256(json.dumps(reported, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@functools.cache
def _slow_digest(name: str, text: str) -> str:
    """A digest that takes a guess 20 ms: it lies on the server, in a file of root's."""
    return hashlib.scrypt(text.encode(), salt=f"dgctl {name}".encode(), n=2**13, r=8, p=1, dklen=24).hex()


def differences(applied: dict[str, Any], desired: dict[str, Any]) -> Iterable[tuple[str, Any, Any]]:
    """(variable, value before, value now) of every variable that differs; None for one that is not set."""
    before, now = applied.get("variables") or {}, desired["variables"]
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield name, before.get(name), now.get(name)
