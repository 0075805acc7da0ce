"""Why Ansible does not take an inventory: its plugin's own reason, the line, and what to write instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dgctl.base.display import value as shown_value
from dgctl.base.errors import Problem
from dgctl.base.locate import Origin, shown, where
from dgctl.deployment import inventory_mistakes
from dgctl.deployment.inventory_file import kind

_NO_REASON = ("Failed to parse inventory.", "Failed to parse inventory")
_SECRET = re.compile(r"(pass(word|phrase|wd)?|secret|token|api_key)\w*\s*[=:]", re.IGNORECASE)
FORM = "correct this line; inventories/example/inventory.ini shows the form"


def words(error: BaseException) -> str:
    """What an error says, on one line."""
    return re.sub(r"\s+", " ", str(getattr(error, "_message", "") or error)).strip()


def chain(error: BaseException) -> list[BaseException]:
    """An error and what it comes from, the innermost last."""
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def problem_of(error: BaseException, path: Path, fix: str) -> Problem:
    """An error of Ansible's as a Problem: its own words, and file:line when it knows them."""
    from ansible.errors import AnsibleError

    causes = chain(error)
    # The innermost of Ansible's own: what Python raised below it is worded for its authors.
    own = [each for each in causes if isinstance(each, AnsibleError) and words(each) not in _NO_REASON] or causes
    located = [where(getattr(each, "obj", None)) for each in causes]
    return Problem(words(own[-1]).rstrip("."), next((text for text in located if ":" in text), shown(path)), fix=fix)


def diagnose(path: Path, reader: Any, error: BaseException) -> Problem:
    """What the parser for this kind of file said (the manager only says that none could read it)."""
    text = path.read_bytes()
    plugin = kind(path, text)
    error = _refusal(plugin, path, reader) or error
    if any(isinstance(each, RecursionError) for each in chain(error)):
        return Problem("the inventory cannot be parsed: it is nested too deep", shown(path), fix="nest it less deep")
    if plugin == "yaml" and (mistake := inventory_mistakes.holding_itself(text.decode(errors="replace"))):
        what = f"the inventory cannot be parsed: {mistake.what}"
        return Problem(what, f"{shown(path)}:{mistake.line}", fix=mistake.fix)
    if plugin == "script":
        return _of_script(error, path, text)
    if plugin == "auto":
        return _of_plugin(error, path)
    found = problem_of(error, path, FORM)
    place = _ini_line(path, reader) or found.where if plugin == "ini" else found.where
    return _reported(plugin, path, text.decode(errors="replace"), found, place)


def _reported(plugin: str, path: Path, text: str, found: Problem, place: str) -> Problem:
    """The refusal with the mistake's own words and remedy, where its table knows it."""
    line = _line(text, place).strip()
    mistake = inventory_mistakes.find(plugin, path, text, line, found.what)
    if mistake is None:
        return Problem(f"the inventory cannot be parsed: {found.what}", place, _shown(line), found.fix)
    if ":" not in place and mistake.line:
        place = f"{shown(path)}:{mistake.line}"
    seen = _line(text, place)
    fix = "write NAME=VALUE; quote a value that has blanks" if _SECRET.search(seen) else mistake.fix
    return Problem(f"the inventory cannot be parsed: {mistake.what}", place, _shown(seen), fix)


def _shown(line: str) -> str:
    """A line of the inventory, unless it may hold a secret."""
    return "" if _SECRET.search(line) else shown_value(line)


def _line(text: str, place: str) -> str:
    """The line that `file:line` names; empty where it names none."""
    lines, number = text.splitlines(), place.rpartition(":")[2]
    return lines[int(number) - 1] if number.isdecimal() and 0 < int(number) <= len(lines) else ""


def _refusal(plugin: str, path: Path, reader: Any) -> Exception | None:
    """Why Ansible's plugin of this name does not take the file; also what it did not mean to raise."""
    from ansible.inventory.data import InventoryData
    from ansible.plugins.loader import inventory_loader

    from dgctl.deployment.inventory import quiet

    try:
        with quiet():
            inventory_loader.get(plugin).parse(InventoryData(), reader, str(path.absolute()), cache=False)
    except Exception as refusal:  # for some mistakes (a group that is its own child) plugins raise what Python raises
        return refusal
    return None


def _of_script(error: BaseException, path: Path, text: bytes) -> Problem:
    """A script that ended with an error, cannot be started, or printed something else than Ansible's JSON."""
    command = shown(path) if "/" in shown(path) else f"./{shown(path)}"
    found = problem_of(error, path, f"run it by hand until it prints JSON: {command} --list")
    if not text.startswith(b"#!") and "execute" in found.what:
        fix = "begin it with #! and its interpreter; chmod -x for an inventory in INI or YAML"
        return Problem(
            "the inventory may be run, and is no program: its first line names no interpreter", shown(path), fix=fix
        )
    help_text = next((each._help_text for each in chain(error) if getattr(each, "_help_text", "")), "")
    reported = str(help_text or "").strip().splitlines()
    what = "it printed no JSON object" if "JSON decoder" in found.what else found.what
    what = what.replace(str(path.absolute()), shown(path))
    return Problem(
        f"the inventory's script failed: {what}", shown(path), shown_value(reported[-1]) if reported else "", found.fix
    )


def _of_plugin(error: BaseException, path: Path) -> Problem:
    """A plugin that is not installed, does not take its file, or failed."""
    found = problem_of(error, path, "see its options: ansible-doc -t inventory NAME")
    what = found.what.replace(str(path.absolute()), shown(path))
    if missing := re.search(r"unknown plugin '([^']+)'", what):
        collection, _, plugin = missing[1].rpartition(".")
        fix = (
            f"install its collection, and what that needs: ansible-galaxy collection install {collection}"
            if collection and collection != "ansible.builtin"
            else f"write its whole name, as ansible.builtin.constructed: {plugin} is none of Ansible's own"
        )
        return Problem(f"the inventory plugin {missing[1]} is not installed", found.where, fix=fix)
    return Problem(f"the inventory plugin failed: {what}", found.where, fix=found.fix)


def _ini_line(path: Path, reader: Any) -> str:
    """The line at which the INI parser stops: it counts lines, but drops the number from its error."""
    from ansible.inventory.data import InventoryData
    from ansible.plugins.loader import inventory_loader

    from dgctl.deployment.inventory import quiet

    plugin = inventory_loader.get("ini")
    origin = Origin(path=str(path.absolute()), line_num=0)
    plugin.inventory, plugin.loader, plugin._origin = InventoryData(), reader, origin
    try:
        with quiet():
            plugin._parse(path.read_text(encoding="utf-8", errors="replace").splitlines())
    except Exception:  # whatever the broken line made the parser raise
        return where(plugin._origin)
    return ""
