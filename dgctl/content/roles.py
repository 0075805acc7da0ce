"""What a full provision runs, read from the playbook and the roles themselves: which roles in which order, what
each depends on, and what its changes do to a server.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from dgctl import content
from dgctl.content import imports

PLAYBOOK = "provision.yml"
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
_CONTROLLER_FILE = re.compile(r"lookup\('ansible\.builtin\.file', *(\w+)")
_PROGRAM = re.compile(r"'([\w.]+)' \| python_program")
_INTERFACE = ("defaults", "meta")
# What records the applied state is no part of it: its own format number says when it changes.
_RECORDER = ("applied_",)


@dataclass(frozen=True)
class Play:
    """A play of the playbook that runs one role; `role` may be a template such as the container engine's.

    `hosts`: the play's pattern as written, of which the default counts: groups joined by colons, `!` before those
    that are left out.
    """

    name: str
    role: str
    hosts: str = "all"

    def among(self, groups: dict[str, list[str]]) -> set[str]:
        """The names of the play's hosts, when no run names them one by one."""
        from jinja2 import ChainableUndefined, Environment

        environment = Environment(undefined=ChainableUndefined)
        environment.filters["play_hosts"] = lambda *words: content.filters("play_hosts").play_hosts(*words)
        pattern = environment.from_string(self.hosts).render(groups=groups)
        parts = [part for part in pattern.split(":") if part]
        found = {host for part in parts for host in groups.get(part, ())}
        return found - {host for part in parts if part.startswith("!") for host in groups.get(part[1:], ())}

    def role_of(self, variables: dict[str, Any]) -> str:
        """The role's name for a host with these variables."""
        if "{{" not in self.role:
            return self.role
        template, asked = _chosen(self.role)
        # By name: rendering a host's variables takes long, and a template that is given them has all of them rendered.
        return str(template.render({name: variables[name] for name in asked if name in variables}))


@functools.cache
def _chosen(role: str) -> tuple[Any, set[str]]:
    """(template, the variables that it asks for) of a play's role that hosts choose by a variable."""
    from jinja2 import Environment, meta

    environment = Environment()
    return environment.from_string(role), meta.find_undeclared_variables(environment.parse(role))


@dataclass(frozen=True)
class Role:
    """One role: `content` is the hash of everything that it runs, `words` every name that its files use.

    `read`: those outside its defaults, whose values count rather than what they are made of. `controller_files`:
    variables that name files on this machine which the role reads. `follows`, `restarts`, `reboots`, `fetches`, `calm`:
    see its meta/effects.yml.
    """

    name: str
    content: str
    words: frozenset[str]
    read: frozenset[str]
    controller_files: frozenset[str] = frozenset()
    follows: tuple[str, ...] = ()
    restarts: dict[str, list[str]] = field(default_factory=dict)
    reboots: tuple[str, ...] = ()
    fetches: tuple[str, ...] = ()
    calm: tuple[str, ...] = ()
    calm_unless: tuple[str, ...] = ()

    def restarted(self, causes: list[str]) -> list[str]:
        """The containers that a run of this role for these causes recreates."""
        return [name for name, patterns in self.restarts.items() if matches(causes, patterns)]

    def is_calm(self, causes: list[str], variables: dict[str, Any]) -> bool:
        """Whether a run for these causes changes nothing that other roles work with, on a host with these variables."""
        allowed = any(variables.get(name) for name in self.calm_unless)
        return not allowed and all(matches([cause], self.calm) for cause in causes)


def matches(causes: list[str], patterns: list[str] | tuple[str, ...]) -> bool:
    return any(fnmatchcase(cause, pattern) for cause in causes for pattern in patterns)


def plays() -> tuple[Play, ...]:
    """The plays of the playbook that run a role, in their order."""
    return _plays(content.root() / "playbooks" / PLAYBOOK)


@functools.cache
def _plays(path: Path) -> tuple[Play, ...]:
    found = []
    for play in content.read(path):
        name = next(iter([*_listed(play), *_included(play)]), None)
        if name:
            found.append(Play(play["name"], name, play["hosts"]))
    return tuple(found)


def _listed(play: dict[str, Any]) -> list[str]:
    return [role if isinstance(role, str) else role["role"] for role in play.get("roles") or []]


def _included(play: dict[str, Any]) -> list[str]:
    tasks = [task.get("ansible.builtin.include_role") for task in play.get("tasks") or []]
    return [task["name"] for task in tasks if task and "tasks_from" not in task]


def role(name: str) -> Role:
    """Reads one role, and the modules and filters that it uses."""
    return _role(content.root() / "roles" / name)


@functools.cache
def _role(folder: Path) -> Role:
    files, plugins = _parts(folder)
    texts = [path.read_text(encoding="utf-8") for path in files]
    read = _words(text for path, text in zip(files, texts, strict=True) if path.parent.name not in _INTERFACE)
    effects = content.read(folder / "meta" / "effects.yml")
    calm = effects.get("calm") or {}
    return Role(
        folder.name,
        _hash(folder, files, plugins),
        _words(texts),
        read,
        frozenset(found for text in texts for found in _CONTROLLER_FILE.findall(text)),
        tuple(effects.get("follows") or ()),
        effects.get("restarts") or {},
        tuple(effects.get("reboots") or ()),
        tuple(effects.get("fetches") or ()),
        tuple(calm.get("causes") or ()),
        tuple(calm.get("unless") or ()),
    )


def _parts(folder: Path) -> tuple[list[Path], list[Path]]:
    """A role's files and plugins; of the tables that it depends on those which it reads, or one of its filters does."""
    unread = [path for one in _dependencies(folder) for path in sorted((one / "vars" / "main").glob("*.yml"))]
    files = [path for one in (folder, *_dependencies(folder)) for path in _files(one) if path not in unread]
    while True:
        texts = [path.read_text(encoding="utf-8") for path in files]
        words = _words(texts)
        plugins = _plugins(words, _programs(texts))
        code = "".join(path.read_text(encoding="utf-8") for path in plugins)
        read = [path for path in unread if words & _defined(path) or str(path.relative_to(content.root())) in code]
        if not read:
            return sorted(files), plugins
        files += read
        unread = [path for path in unread if path not in read]


@functools.cache
def _defined(table: Path) -> frozenset[str]:
    """The variables that a file of a role's vars/ gives."""
    return frozenset(re.findall(r"^(\w+):", table.read_text(encoding="utf-8"), re.MULTILINE))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".md", ".pyc"))


def _dependencies(folder: Path) -> list[Path]:
    """The roles whose variables this one reads: tables, without tasks of their own."""
    reported = content.read(folder / "meta" / "main.yml").get("dependencies") or []
    return [folder.parent / (one if isinstance(one, str) else one["role"]) for one in reported]


def _words(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(word for text in texts for word in _WORD.findall(_COMMENT.sub("", text)))


def _programs(texts: Iterable[str]) -> list[Path]:
    """The module utilities of which a role makes programs for its hosts."""
    names = [name for text in texts for name in _PROGRAM.findall(text)]
    return [path for name in names for path in imports.files_of(tuple(name.split(".")), content.utilities())]


def _plugins(words: frozenset[str], programs: Iterable[Path] = ()) -> list[Path]:
    """The modules and filters among these words, and these programs, with what they import."""
    folder = content.root() / "plugins"
    actions = [path for path in sorted((folder / "action").glob("*.py")) if path.stem in words]
    actions = [path for path in actions if not path.stem.startswith(_RECORDER)]
    words = words.union(*(_WORD.findall(path.read_text(encoding="utf-8")) for path in actions))
    found = [path for path in sorted((folder / "modules").glob("*.py")) if path.stem in words]
    found += [path for path in sorted((folder / "filter").glob("*.py")) if words & _filters(path)]
    own = [path for path in found if not path.stem.startswith(_RECORDER)]
    return imports.closure([*actions, *own, *programs], content.utilities())


def _filters(path: Path) -> set[str]:
    """The names of the filters that a file gives."""
    reported = path.read_text(encoding="utf-8").partition("def filters(self)")[2]
    return set(re.findall(r'"(\w+)":', reported))


def _hash(folder: Path, files: list[Path], plugins: list[Path]) -> str:
    """Over the role's files by their names, and what the plugins say: where those lie counts for nothing."""
    reported = [(str(path.relative_to(folder.parent)), path.read_bytes()) for path in files]
    reported += sorted(("", imports.meaning(path, content.utilities())) for path in plugins)
    digest = hashlib.sha256()
    for name, data in reported:
        if name or data:  # an empty file is a package that only holds others
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()
