"""The README of each role, from its specs, and the rows of its variables, which docs/reference/variables.md has too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from dgctl import content
from docs.tables.markdown import table

PROJECT = Path(__file__).resolve().parents[2]
NOTE = "<!-- Written by docs/generate.py: change meta/ and defaults/, not this page. -->\n\n"
PLATFORM = """\
# platform

{note}Tables of systems, GPUs, drivers and products, which other roles and dgctl read. It has no tasks and no variables of yours.

"""
USE = """
```yaml
- hosts: all
  become: true
  roles:
    - {role}    # in the collection: dgctl.selfhosted.{role}
```

"""
OTHER = "\n## Parts of it\n\nFor `include_role` with `tasks_from`.\n\n"
_PART = re.compile(r"\A---\n((?:# .*\n)+)")


def text(value: Any) -> str:
    """What a specification says, as a cell of a table."""
    if isinstance(value, list):
        value = " ".join(value)
    return str(value).replace("|", "\\|").replace("\n", " ").strip()


def specification(role: str) -> dict[str, Any]:
    written = content.read(PROJECT / "roles" / role / "meta/argument_specs.yml")
    return dict(written["argument_specs"]["main"])


def variables(role: str) -> str:
    """The table of a role's variables."""
    rows = [
        [f"`{name}`", _values(name, option.get("type", "str")), _default(option), text(option["description"])]
        for name, option in specification(role)["options"].items()
    ]
    return table(["variable", "value", "default", "what it does"], rows)


def _default(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return ""
    written = yaml.safe_dump(option["default"], default_flow_style=True, width=10_000).removesuffix("...\n").strip()
    return f"`{written.replace('|', chr(92) + '|')}`"


def _values(name: str, kind: str) -> str:
    """A variable's type and what its values must be; what "", null and 0 mean, where they mean something of their own."""
    from dgctl.content import schema

    variable = schema.variables(PROJECT)[name]
    must = "" if variable.must in (schema.words({"type": variable.schema.get("type")}), kind) else f": {variable.must}"
    special = (("if_empty", "empty"), ("if_null", "null"), ("if_zero", "0"))
    meant = [f"{word}: {variable.schema[key]}" for key, word in special if key in variable.schema]
    meant = [one for one in meant if one not in must]
    return text(kind + must + "".join(f"; {one}" for one in meant))


def readme(role: str) -> str:
    """A role's README.md."""
    reported = specification(role)
    about = text(reported.get("description", ""))
    head = f"# {role}\n\n{NOTE}{text(reported['short_description'])}.{' ' + about if about else ''}\n"
    return head + USE.format(role=role) + "## Variables\n\n" + variables(role) + _parts(role)


def _parts(role: str) -> str:
    """Its files of tasks that say that they are for a playbook."""
    found = []
    for path in sorted((PROJECT / "roles" / role / "tasks").glob("*.yml")):
        comment = _PART.match(path.read_text(encoding="utf-8"))
        if comment and comment[1].startswith("# For a playbook "):
            found.append([f"`{path.stem}`", text(comment[1].replace("# ", ""))])
    return OTHER + table(["file", "what for"], found) if found else ""


def platform() -> str:
    """The README.md of the role that has tables alone: each with the first sentence of its comment."""
    rows = []
    for path in sorted((PROJECT / "roles/platform/vars/main").glob("*.yml")):
        comment = re.match(r"(?:---\n)?((?:#.*\n)+)", path.read_text(encoding="utf-8"))
        first = re.split(r"(?<=[.:])\s", text(comment[1].replace("# ", "")), maxsplit=1)[0] if comment else ""
        rows.append([f"`vars/main/{path.name}`", first.rstrip(":.")])
    return PLATFORM.format(note=NOTE) + table(["table", "of"], rows)
