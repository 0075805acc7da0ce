"""Reads a deployment (inventory, group_vars, vault) with Ansible's own code, so that meaning is Ansible's."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgctl import compiled, content, specs, vault_secrets
from dgctl.errors import DgctlError, Exit, Problem
from dgctl.inventory_refusal import problem_of
from dgctl.locate import origin, search, shown, where
from dgctl.vault import VaultOptions

GROUPS = ("node", "api", "engine", "proxy", "license_proxy")
LATER_GROUPS = ("monitoring",)
SERVING = ("node", "api")  # their hosts answer callers
PROXIES = "proxy"
# What Ansible adds to the variables of every host; nobody wrote these.
_ADDED = {
    "ansible_facts",
    "ansible_version",
    "ansible_playbook_python",
    "ansible_config_file",
    "playbook_dir",
}
_ADDED |= {"group_names", "groups", "hostvars", "inventory_dir", "inventory_file", "inventory_hostname"}
_SEPARATORS = re.compile(r"[\s,:]")
# Those of them that hold all other hosts: templates may use them, but to render them for each host is quadratic.
_OTHERS = {"groups", "hostvars"}
_ADDED |= {"inventory_hostname_short", "omit", "ansible_check_mode", "ansible_diff_mode", "ansible_forks"}
_ADDED |= {
    "ansible_inventory_sources",
    "ansible_limit",
    "ansible_run_tags",
    "ansible_skip_tags",
    "ansible_verbosity",
    "ansible_local",
}


@dataclass
class Host:
    """One server: `vars` are the roles' defaults and the inventory's variables, templated, vault decrypted.

    A value that needs facts from the server stays as written, and so does a variable that neither a role nor a connection
    knows: what a user's own one looks up is run only where a known one uses it. `written`: what the inventory alone says, as
    Ansible read it (untemplated, with the origin of each value). `unrendered`: name -> why a template failed.
    """

    name: str
    address: str
    groups: list[str]
    vars: dict[str, Any]
    written: dict[str, Any] = field(default_factory=dict)
    unrendered: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int | str:
        return self.vars.get("ansible_port") or self.vars.get("ansible_ssh_port") or 22

    @property
    def parts(self) -> list[str]:
        """The containers that run on it: of engine, api and license-proxy."""
        runs = self.vars.get("deepgram_parts")
        if not isinstance(runs, list):
            runs = ["engine", "api"]
        serves = {"node", "api", "engine"} & set(self.groups)
        return (list(runs) if serves else []) + (["license-proxy"] if "license_proxy" in self.groups else [])


@dataclass
class Deployment:
    """All hosts of an inventory; `targets` are the names of servers of known groups that --limit leaves."""

    inventory: Path
    hosts: dict[str, Host]
    targets: list[str]
    groups: dict[str, list[str]] = field(default_factory=dict)
    limit: str | None = None

    @property
    def folder(self) -> Path:
        return self.inventory.parent

    def members(self, *groups: str) -> list[str]:
        """The hosts of these groups, in the inventory's order."""
        named = {name for group in groups for name in self.groups.get(group, ())}
        return [name for name in self.hosts if name in named]

    def files(self) -> list[Path]:
        """The inventory and the variable files beside it."""
        folders = [self.folder / "group_vars", self.folder / "host_vars"]
        found = [path for folder in folders for path in sorted(folder.rglob("*")) if _is_variables(path)]
        return [self.inventory, *found]

    def digest(self) -> str:
        """What the inventory and its variables say at this moment, in 64 hex digits."""
        digest = hashlib.sha256()
        for path in self.files():
            digest.update(f"{path}\0".encode() + path.read_bytes() + b"\0")
        return digest.hexdigest()

    def where(self, host: Host, name: str) -> str:
        """`file:line` that sets `name` for `host`; nothing when no file does (a default)."""
        if name not in host.written:
            return ""
        value = host.written[name]
        # A variable that a later file overrides keeps the origin of its first key: the value's counts. But a
        # list or mapping begins below its key, so there the key's line counts when both are of one file.
        key = next(key for key in host.written if key == name)
        places = (origin(key), origin(value))
        if isinstance(value, (list, dict)) and all(places) and places[0][0] == places[1][0]:
            return where(key)
        return where(value) or where(key) or search(name, self.files())


def _is_variables(path: Path) -> bool:
    """Whether Ansible reads variables from a file of this name."""
    suffixes = ("", ".yml", ".yaml", ".json")
    return path.is_file() and path.suffix in suffixes and not path.name.startswith(".")


def load(inventory: Path, vault: VaultOptions, limit: str | None = None) -> Deployment:
    """Reads a deployment; raises DgctlError (exit 3, or 2 for a limit that matches nothing)."""
    from dgctl import inventory as opened

    inventory = Path(inventory)
    reader = opened.loader(vault)
    manager = opened.open_inventory(inventory, reader, vault)
    _refuse_unreadable(Deployment(inventory, {}, []).files())
    with opened.quiet(), compiled.once():
        try:
            hosts = _hosts(manager, reader)
        except opened.AnsibleError as error:
            raise DgctlError(_broken_variables(error, inventory, vault, reader), Exit.INVALID) from error
    groups = {name: [host.name for host in group.get_hosts()] for name, group in manager.groups.items()}
    with opened.quiet():
        targets = _targets(manager, hosts, limit)
    return Deployment(inventory, hosts, targets, groups, limit)


def _refuse_unreadable(files: list[Path]) -> None:
    found = [path for path in files if not os.access(path, os.R_OK)]
    problems = [Problem("this file cannot be read", shown(path), fix=f"chmod u+r {shown(path)}") for path in found]
    if problems:
        raise DgctlError(problems, Exit.INVALID)


def _broken_variables(error: Exception, inventory: Path, vault: VaultOptions, reader: Any) -> Problem:
    """Why Ansible cannot use the variables: broken YAML, no mapping, or a vault that does not open."""
    from dgctl import inventory as opened

    path, cause = opened.refused(Deployment(inventory, {}, []).files()[1:], reader) or (inventory, error)
    if cause is None and re.match(rb"\s+\$ANSIBLE_VAULT", path.read_bytes()):
        fix = f"its first line must begin with $ANSIBLE_VAULT: sed -i 's/^ *//' {shown(path)}"
        return Problem("an encrypted file has something before its header", shown(path), fix=fix)
    if cause is None:
        return Problem("a variable file must be a mapping", shown(path), fix="write it as NAME: VALUE, one a line")
    if vault_secrets.is_about_a_vault(cause):
        return vault_secrets.shut(path, vault)
    return problem_of(cause, path, "correct the YAML at this line")


def _hosts(manager: Any, reader: Any) -> dict[str, Host]:
    from ansible.vars.hostvars import HostVars
    from ansible.vars.manager import VariableManager

    variables = VariableManager(loader=reader, inventory=manager)
    HostVars(inventory=manager, variable_manager=variables, loader=reader)  # gives templates their `hostvars`
    defaults = _defaults(reader)
    known = set(defaults) | set(specs.options(content.root()))
    return {
        host.name: _host(host, defaults, variables.get_vars(host=host), known, reader)
        for host in manager.get_hosts("all")
    }


def _defaults(reader: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path in sorted((content.root() / "roles").glob("*/defaults/main.yml")):
        merged |= reader.load_from_file(str(path), trusted_as_template=True) or {}
    return merged


def _host(host: Any, defaults: dict[str, Any], everything: dict[str, Any], known: set[str], reader: Any) -> Host:
    written = {name: value for name, value in everything.items() if name not in _ADDED}
    values, unrendered = _rendered({**defaults, **everything}, known, reader)
    shown_values = {name: value for name, value in values.items() if name not in _ADDED}
    address = values.get("ansible_host") or values.get("ansible_ssh_host") or host.name
    groups = sorted(group.name for group in host.get_groups() if group.name != "all")
    lost = {name: why for name, why in unrendered.items() if name in written}
    return Host(host.name, str(address), groups, shown_values, written, lost)


def _rendered(variables: dict[str, Any], known: set[str], reader: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Every known variable through Ansible's templates: (name -> plain value, name -> why it has none)."""
    from ansible.errors import AnsibleError
    from ansible.template import Templar

    values, lost = {}, {}
    templar = Templar(loader=reader, variables={k: v for k, v in variables.items() if k != "ansible_facts"})
    for name, value in variables.items():
        if name not in known and not name.startswith("ansible_"):
            values[name] = {} if name in _OTHERS else _plain(value)
            continue
        try:
            values[name] = _plain(templar.template(value))
        except (AnsibleError, ValueError, TypeError) as error:
            values[name] = _plain(value) if isinstance(value, (str, list, dict)) else None
            lost[name] = str(getattr(error, "_message", "") or error)
    return values, lost


def _plain(value: Any) -> Any:
    """A value without the tags that ansible-core hangs on it; equal texts of a thousand hosts are one."""
    if isinstance(value, dict):
        return {sys.intern(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    return value if value is None else sys.intern(str(value))


def _targets(manager: Any, hosts: dict[str, Host], limit: str | None) -> list[str]:
    """Names that the limit leaves in known groups; each part of the limit must match something."""
    from ansible.inventory.manager import split_host_pattern

    known = [name for name, host in hosts.items() if set(host.groups) & set(GROUPS)]
    if limit is None:
        return known
    parts = [part.strip() for part in split_host_pattern(limit)]
    patterns = [pattern for part in parts for pattern in (_of_file(part) if part.startswith("@") else [part])]
    # Ansible drops what it cannot read of a pattern: `~[` becomes `~`, which matches all.
    patterns = [pattern for pattern in patterns if pattern]
    if not any(pattern.strip("!&") for pattern in patterns) or _SEPARATORS.sub("", "".join(parts)) != _SEPARATORS.sub(
        "", limit
    ):
        fix = "name servers or groups, or leave --limit out to mean all servers"
        raise DgctlError(Problem("--limit names no server", where="--limit", value=repr(limit), fix=fix), Exit.USAGE)
    for pattern in filter(None, patterns):
        if not pattern.lstrip("!&") or not _matched(manager, pattern.lstrip("!&")):
            raise DgctlError(_no_match(pattern, hosts), Exit.USAGE)
    manager.subset(limit)
    chosen = {host.name for host in manager.get_hosts("all")}
    targets = [name for name in known if name in chosen]
    if not targets:
        raise DgctlError(_no_match(limit, hosts), Exit.USAGE)
    return targets


def _of_file(part: str) -> list[str]:
    """The patterns in the file that `@FILE` names; raises DgctlError (exit 2) where it cannot be read."""
    try:
        return [line.strip() for line in Path(part[1:]).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        fix = "name a file with a server a line"
        raise DgctlError(Problem(f"--limit's file cannot be read: {why}", part[1:], fix=fix), Exit.USAGE) from error


def _matched(manager: Any, pattern: str) -> bool:
    """Whether a pattern matches a host; one that is no regular expression matches nothing."""
    from ansible.errors import AnsibleError

    try:
        return bool(manager.list_hosts(pattern))
    except (AnsibleError, re.error):
        return False


def _no_match(part: str, hosts: dict[str, Host]) -> Problem:
    from dgctl.names import nearest

    near = nearest(part, hosts)
    fix = f"did you mean {near}?" if near else f"name one of: {', '.join(list(hosts)[:10])}"
    return Problem("--limit matches no server of this inventory", where="--limit", value=part, fix=fix)


def lowered(deployment: Deployment) -> list[dict[str, Any]]:
    """Minimums (`preflight_min_*`) set below the role's own: {host, name, value, usual}."""
    from dgctl import inventory as opened

    usual = _defaults(opened.DataLoader())
    return [
        {"host": name, "name": key, "value": deployment.hosts[name].vars[key], "usual": _plain(usual[key])}
        for name in deployment.targets
        for key in sorted(usual)
        if key.startswith("preflight_min_") and _below(deployment.hosts[name].vars.get(key), usual[key])
    ]


def _below(value: Any, usual: Any) -> bool:
    try:
        return float(value) < float(usual)
    except (TypeError, ValueError):
        return False
