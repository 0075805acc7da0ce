"""Edits a deployment's files as a person would: one line, or one value, and every other byte as it was."""

from __future__ import annotations

import ast
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.deployment.inventory_file import YAML_NAMES, kind

_HEADING = re.compile(r"\[([^:\]]+)(?::(\w+))?\]\s*(?:#.*)?$")


def require_lines(inventory: Path, hosts: list[str]) -> None:
    """Raises DgctlError (exit 3) for an inventory that takes its servers from elsewhere: they are retired there."""
    plugin = kind(inventory, inventory.read_bytes())
    if plugin in ("ini", "yaml"):
        return
    source = "the source that this script asks" if plugin == "script" else "the source that this plugin asks"
    names = " ".join(hosts)
    fix = (
        f"dgctl drain {shown(inventory)} {names}; retire {names} in {source}; then dgctl provision {shown(inventory)} "
        "makes the proxies forget it. What runs on it stays until you stop it there"
    )
    raise _refusal("no line of the inventory names this server", inventory, names, fix)


def set_variable(path: Path, name: str, value: str, line: int) -> None:
    """Sets a variable that stands on this line of an INI inventory or a YAML file of variables.

    Raises DgctlError (exit 3): it stands elsewhere, or its value is no short one.
    """
    edit = in_yaml if _is_yaml(path) else in_ini
    write(path, edit(read(path), name, value, line, path))


def add_variable(path: Path, name: str, value: str, beside: str, line: int) -> None:
    """Sets a variable that stands nowhere: beside another one, which stands on `line`, and for the same servers."""
    edit = beside_in_yaml if _is_yaml(path) else beside_in_ini
    write(path, edit(read(path), name, value, beside, line, path))


def _is_yaml(path: Path) -> bool:
    return path.suffix in YAML_NAMES or path.parent.parent.name in ("group_vars", "host_vars")


def without_host(text: str, host: str, path: Path) -> str:
    """The text of an INI inventory without the lines of a host. Raises DgctlError (exit 3) where that needs a person."""
    if path.suffix in YAML_NAMES:
        fix = f"remove {host} from it by hand, then run again"
        raise _refusal("dgctl does not edit inventories in YAML", path, str(path), fix)
    retained, removed = [], 0
    for number, section, line in _lines(text):
        named = _host_of(line) if section == "hosts" else ""
        if named == host:
            removed += 1
            continue
        if named and host in _range(named):
            fix = f"write the servers of {named} on a line each, then run again"
            raise _refusal(f"{host} is one of a range of servers", path, named, fix, number)
        retained.append(line)
    if not removed:
        raise _refusal("the inventory has no line for this server", path, host, f"look for {host} in it by hand")
    return "".join(retained)


def in_ini(text: str, name: str, value: str, line: int, path: Path) -> str:
    """The text of an INI inventory with a variable set where it stands: under [x:vars], or on a host's line."""
    lines = [part for _, _, part in _lines(text)]
    found = [(number, kind, span) for number, kind, part in _lines(text) for span in _settings(kind, part, name)]
    number, kind, (start, end) = _only(found, name, line, path)
    part = lines[number - 1]
    lines[number - 1] = part[:start] + (_literal(value) if kind == "vars" else _word(_literal(value))) + part[end:]
    return "".join(lines)


def beside_in_ini(text: str, name: str, value: str, beside: str, line: int, path: Path) -> str:
    """The text of an INI inventory with a variable on a line of its own below `beside`, or behind it on a host's line."""
    lines = [part for _, _, part in _lines(text)]
    found = [(number, kind, span) for number, kind, part in _lines(text) for span in _settings(kind, part, beside)]
    number, kind, (_, end) = _only(found, beside, line, path)
    part = lines[number - 1]
    if kind == "vars":
        lines[number - 1] = _ended(part) + f"{name}={_literal(value)}" + _end_of(part)
    else:
        lines[number - 1] = f"{part[:end]} {name}={_word(_literal(value))}{part[end:]}"
    return "".join(lines)


def beside_in_yaml(text: str, name: str, value: str, beside: str, line: int, path: Path) -> str:
    """The text of a YAML file of variables with a variable on a line of its own below `beside`."""
    in_yaml(text, beside, "", line, path)  # refuses what cannot be edited
    lines = text.splitlines(keepends=True)
    part = lines[line - 1]
    lines[line - 1] = _ended(part) + f"{name}: {_scalar(value)}" + _end_of(part)
    return "".join(lines)


def _ended(line: str) -> str:
    return line.rstrip("\r\n") + (_end_of(line))


def _end_of(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :] or "\n"


def in_yaml(text: str, name: str, value: str, line: int, path: Path) -> str:
    """The text of a YAML file of variables with the value of a variable at its top level replaced."""
    if text.startswith("$ANSIBLE_VAULT"):
        raise _refusal(f"{name} stands in an encrypted file", path, name, f"set it with: ansible-vault edit {path}")
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _refusal("the file cannot be read as YAML", path, str(error).split("\n")[0], "correct it") from error
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    found = [(key.start_mark.line + 1, "", node) for key, node in pairs if key.value == name]
    number, _, node = _only(found, name, line, path)
    if (
        not isinstance(node, yaml.ScalarNode)
        or node.style in ("|", ">")
        or node.start_mark.index == node.end_mark.index
    ):
        raise _refusal(f"{name} has a value that dgctl does not edit", path, name, "set it by hand", number)
    return text[: node.start_mark.index] + _scalar(value) + text[node.end_mark.index :]


def read(path: Path) -> str:
    """A file's text, with its line ends and odd bytes as they are."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        return stream.read()


def write(path: Path, text: str) -> None:
    """Replaces a file at once; it keeps its rights, and a link stays a link."""
    path = path.resolve()
    was = path.stat()
    handle, new = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            os.fchmod(handle, was.st_mode & 0o7777)
            if (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(handle, was.st_uid, was.st_gid)
            stream.write(text)
            stream.flush()
            os.fsync(handle)
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise


class _Loader(yaml.SafeLoader):
    """Only composes: tags such as !vault mean nothing to it."""


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """(number, what its section holds - hosts, vars, children, or "" for headings and comments -, line with its end)."""
    kind = "hosts"  # lines before the first heading
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        bare = line.strip()
        heading = _HEADING.match(bare)
        if heading:
            kind = heading[2] or "hosts"
        yield number, "" if heading or not bare or bare[0] in "#;" else kind, line


def _host_of(line: str) -> str:
    """The host, or range of hosts, that a line is about: without its port and variables."""
    try:
        word = next(iter(shlex.split(line, comments=True)), "")
    except ValueError:
        return ""
    if ":" not in word:
        return word
    from ansible.errors import AnsibleError
    from ansible.parsing.utils.addresses import parse_address

    try:
        return parse_address(word, allow_ranges=True)[0] or word
    except AnsibleError:
        return word


def _range(named: str) -> list[str]:
    from ansible.errors import AnsibleError
    from ansible.plugins.inventory import detect_range, expand_hostname_range

    try:
        return expand_hostname_range(named) if detect_range(named) else []
    except (AnsibleError, ValueError):
        return []


def _settings(kind: str, line: str, name: str) -> Iterator[tuple[int, int]]:
    """Where in a line the value of a variable begins and ends."""
    if kind == "vars":
        key, equals, value = line.partition("=")
        if equals and key.strip() == name:
            start = len(key) + 1 + len(value) - len(value.lstrip(" \t"))
            yield start, max(start, len(line.rstrip()))
    elif kind == "hosts":
        for start, end in list(_words(line))[1:]:
            if line[start:end].startswith(f"{name}="):
                yield start + len(name) + 1, end


def _words(line: str) -> Iterator[tuple[int, int]]:
    """Where the words of a host's line begin and end, as the shell's rules have it; a comment has none."""
    start, quote, index = None, "", 0
    while index < len(line):
        sign = line[index]
        if quote:
            index += sign == "\\" and quote == '"'
            quote = "" if sign == quote else quote
        elif sign == "#":
            break
        elif sign.isspace():
            if start is not None:
                yield start, index
            start = None
        else:
            start = index if start is None else start
            quote = sign if sign in "'\"" else ""
            index += sign == "\\"
        index += 1
    if start is not None:
        yield start, min(index, len(line))


def _literal(value: str) -> str:
    """Text as an INI inventory writes it: quoted where Ansible would read a number or something else in it."""
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value if value == value.strip() and value and "\n" not in value else repr(value)
    return repr(value)


def _word(text: str) -> str:
    return shlex.quote(text)


def _scalar(value: str) -> str:
    """Text as a YAML scalar on one line that stays text."""
    dumped = yaml.safe_dump(value, width=float("inf"), allow_unicode=True).removesuffix("\n").removesuffix("\n...")
    return dumped if "\n" not in dumped else yaml.safe_dump(value, default_style='"', width=float("inf")).strip()


def _only(found: list, name: str, line: int, path: Path) -> tuple:
    """The one place, or the one on this line."""
    here = [place for place in found if not line or place[0] == line]
    if len(here) == 1:
        return here[0]
    if not here:
        raise _refusal(f"{name} is not set here", path, name, "set it by hand", line)
    numbers = ", ".join(str(place[0]) for place in here)
    raise _refusal(f"{name} is set more than once", path, f"lines {numbers}", "set it by hand", here[0][0])


def _refusal(what: str, path: Path, value: str, fix: str, line: int = 0) -> DgctlError:
    return DgctlError(Problem(what, shown(path) + (f":{line}" if line else ""), value, fix), Exit.INVALID)
