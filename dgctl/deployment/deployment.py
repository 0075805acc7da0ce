"""Reads a deployment (inventory, group_vars, vault) with Ansible's own code, so that meaning is Ansible's."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgctl import content
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import origin, search, shown, where
from dgctl.content import specs
from dgctl.deployment import inventory_file, vault_secrets
from dgctl.deployment.inventory_mistakes import holding_itself
from dgctl.deployment.inventory_refusal import problem_of
from dgctl.deployment.vault import VaultOptions

if TYPE_CHECKING:
    from dgctl.deployment.rendering import Rendering

GROUPS = ("node", "api", "engine", "proxy", "license_proxy", "billing", "monitoring")
SERVING = ("node", "api")  # their hosts answer callers
PROXIES = "proxy"
RUNNERS = ("node", "api", "engine", "license_proxy", "billing")  # their hosts run containers of a release
WITH_GPU = ("node", "engine")
ALONE = ("license-proxy", "billing")  # parts that are each a project of its own, of the group of that name
LARGEST_MB = 4  # of one file
_SEPARATORS = re.compile(r"[\s,:]")


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
    vars: Mapping[str, Any]
    written: dict[str, Any] = field(default_factory=dict)
    unrendered: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int | str:
        return self.vars.get("ansible_port") or self.vars.get("ansible_ssh_port") or 22

    @property
    def parts(self) -> list[str]:
        """The containers that run on it: of engine, api, license-proxy and billing."""
        runs = self.vars.get("deepgram_parts")
        if not isinstance(runs, list):
            runs = ["engine", "api"]
        serves = {"node", "api", "engine"} & set(self.groups)
        alone = [part for part in ALONE if part.replace("-", "_") in self.groups]
        return (list(runs) if serves else []) + alone


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
        # A variable that a later file overrides keeps the origin of its first key: the value's counts.
        if not isinstance(value, (list, dict)) and (found := where(value)):
            return found
        key = next(key for key in host.written if key == name)
        # A list or mapping begins below its key, so there the key's line counts when both are of one file.
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
    from dgctl.deployment import inventory as opened

    inventory = Path(inventory)
    inventory_file.require_usable(inventory)
    _refuse_large([inventory])
    reader = opened.loader(vault)
    _refuse_unreadable(Deployment(inventory, {}, []))
    manager = opened.open_inventory(inventory, reader, vault)
    _refuse_large(Deployment(inventory, {}, []).files())
    with opened.quiet():
        try:
            hosts = _hosts(manager, reader)
        except (opened.AnsibleError, RecursionError) as error:
            raise DgctlError(_broken_variables(error, inventory, vault, reader), Exit.INVALID) from error
    groups = {name: [host.name for host in group.get_hosts()] for name, group in manager.groups.items()}
    with opened.quiet():
        targets = _targets(manager, hosts, limit)
    return Deployment(inventory, hosts, targets, groups, limit)


def _refuse_unreadable(deployment: Deployment) -> None:
    """Raises DgctlError (exit 3) for variable files and folders that may not be read: Ansible would leave some out in silence."""
    folders = [deployment.folder / "group_vars", deployment.folder / "host_vars"]
    folders += [
        path for folder in folders if os.path.isdir(folder) and os.access(folder, os.R_OK) for path in folder.iterdir()
    ]
    # os.path: a Path's own is_dir() fails where a folder above may not be entered
    closed = [path for path in folders if os.path.isdir(path) and not os.access(path, os.R_OK | os.X_OK)]
    problems = [Problem("this folder cannot be read", shown(path), fix=f"chmod u+rx {shown(path)}") for path in closed]
    if not closed:
        found = [path for path in deployment.files()[1:] if not os.access(path, os.R_OK)]
        problems = [Problem("this file cannot be read", shown(path), fix=f"chmod u+r {shown(path)}") for path in found]
    if problems:
        raise DgctlError(problems, Exit.INVALID)


def _refuse_large(files: list[Path]) -> None:
    """Ansible would take minutes for them; 5,000 servers with all that is theirs are 1 MB."""
    sizes = {path: path.stat().st_size / 1e6 for path in files if os.path.isfile(path)}
    what = f"the file is too large: {{:.1f}} MB, and dgctl reads {LARGEST_MB} MB at most"
    fix = "divide the deployment: an inventory a site, each in a folder of its own"
    problems = [Problem(what.format(mb), shown(path), fix=fix) for path, mb in sizes.items() if mb > LARGEST_MB]
    if problems:
        raise DgctlError(problems, Exit.INVALID)


def _refuse_names(variables: dict[Any, Any]) -> None:
    """Raises DgctlError (exit 3) for variables whose name is no text (`1: x` in YAML)."""
    names = [name for name in variables if not isinstance(name, str)]
    if names:
        what, fix = "a variable's name must be text", "begin it with a letter"
        raise DgctlError([Problem(what, where(name), str(name), fix) for name in names], Exit.INVALID)


def _broken_variables(error: Exception, inventory: Path, vault: VaultOptions, reader: Any) -> Problem:
    """Why Ansible cannot use the variables: broken YAML, no mapping, or a vault that does not open."""
    from dgctl.deployment import inventory as opened

    path, cause = opened.refused(Deployment(inventory, {}, []).files()[1:], reader) or (inventory, error)
    if cause is None and re.match(rb"\s+\$ANSIBLE_VAULT", path.read_bytes()):
        fix = f"its first line must begin with $ANSIBLE_VAULT: sed -i 's/^ *//' {shown(path)}"
        return Problem("an encrypted file has something before its header", shown(path), fix=fix)
    if cause is None:
        return Problem("a variable file must be a mapping", shown(path), fix="write it as NAME: VALUE, one a line")
    if mistake := holding_itself(path.read_text(encoding="utf-8", errors="replace")):
        return Problem(mistake.what, f"{shown(path)}:{mistake.line}", fix=mistake.fix)
    if odd := inventory_file.odd_line(path, path.read_bytes()):
        what, fix, number = odd
        return Problem(what, f"{shown(path)}:{number}", fix=fix)
    if vault_secrets.is_about_a_vault(cause):
        return vault_secrets.shut(path, vault)
    return problem_of(cause, path, "correct the YAML at this line")


def _hosts(manager: Any, reader: Any) -> dict[str, Host]:
    from ansible.vars.hostvars import HostVars
    from ansible.vars.manager import VariableManager

    from dgctl.deployment.rendering import Rendering

    variables = VariableManager(loader=reader, inventory=manager)
    HostVars(inventory=manager, variable_manager=variables, loader=reader)  # gives templates their `hostvars`
    defaults = _defaults()
    known = set(defaults) | set(specs.options(content.root()))
    everything = {host: variables.get_vars(host=host) for host in manager.get_hosts("all")}
    rendering = Rendering(reader, defaults, known, list(everything.values()))
    return {host.name: _host(host, own, rendering) for host, own in everything.items()}


def _defaults() -> dict[str, Any]:
    paths = sorted((content.root() / "roles").glob("*/defaults/main.yml"))
    return _merged(tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths))


@functools.lru_cache(maxsize=1)  # it is a third of what reading a small deployment takes
def _merged(files: tuple[tuple[str, int, int], ...]) -> dict[str, Any]:
    """The variables of these (path, time of change in ns, size)."""
    from ansible.parsing.dataloader import DataLoader

    reader, merged = DataLoader(), {}
    for path, *_ in files:
        merged |= reader.load_from_file(path, cache="none", unsafe=True, trusted_as_template=True) or {}
    return merged


def _host(host: Any, own: dict[str, Any], rendering: Rendering) -> Host:
    from dgctl.deployment.rendering import ADDED, Values

    _refuse_names(own)
    written = {name: value for name, value in own.items() if name not in ADDED}
    values = Values(rendering, own)
    for name in written:
        values[name]  # now: Ansible's errors are this inventory's, and what fails is known
    address = values.get("ansible_host") or values.get("ansible_ssh_host") or host.name
    groups = sorted(group.name for group in host.get_groups() if group.name != "all")
    return Host(host.name, str(address), groups, values, written, dict(values.lost))


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
    from dgctl.base.names import nearest

    near = nearest(part, hosts)
    fix = f"did you mean {near}?" if near else f"name one of: {', '.join(list(hosts)[:10])}"
    return Problem("--limit matches no server of this inventory", where="--limit", value=part, fix=fix)


def lowered(deployment: Deployment) -> list[dict[str, Any]]:
    """Minimums (`preflight_min_*`) set below the role's own: {host, name, value, usual}."""
    defaults = content.read(content.root() / "roles/preflight/defaults/main.yml")
    usual = {key: defaults[key] for key in sorted(defaults) if key.startswith("preflight_min_")}
    return [
        {"host": name, "name": key, "value": deployment.hosts[name].vars[key], "usual": usual[key]}
        for name in deployment.targets
        for key in usual
        if _below(deployment.hosts[name].vars.get(key), usual[key])
    ]


def _below(value: Any, usual: Any) -> bool:
    try:
        return float(value) < float(usual)
    except (TypeError, ValueError):
        return False
