"""Writes the reference pages from the source: `python docs/generate.py`. A test fails when a page is not current."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

# In the order in which a node is built.
ROLES = (
    "preflight",
    "nvidia_driver",
    "docker",
    "podman",
    "nvidia_container_toolkit",
    "deepgram_models",
    "deepgram",
    "nginx_proxy",
    "host_firewall",
    "license_proxy",
)
VARIABLES = """\
# Variables

Set them in `group_vars/`, `host_vars/` or the inventory. One table a role. `dgctl validate` refuses a value of another form,
and a null or an empty text where it means nothing; the same as JSON Schema, for an editor that completes and checks as you type:
[inventory.schema.json](inventory.schema.json). Where a form is documented outside (NGINX, compose, systemd ...), that file's
`$comment` names it.
"""
NOTE = "<!-- Written by docs/generate.py: change the source, not this page. -->\n\n"


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = " ".join(value)
    return str(value).replace("|", "\\|").replace("\n", " ").strip()


def _default(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return ""
    text = yaml.safe_dump(option["default"], default_flow_style=True, width=10_000).removesuffix("...\n").strip()
    return f"`{text.replace('|', chr(92) + '|')}`"


def _values(name: str, kind: str) -> str:
    """A variable's type and what its values must be; what "", null and 0 mean, where they mean something of their own."""
    from dgctl import schema

    variable = schema.variables(PROJECT)[name]
    must = "" if variable.must in (schema.words({"type": variable.schema.get("type")}), kind) else f": {variable.must}"
    special = (("if_empty", "empty"), ("if_null", "null"), ("if_zero", "0"))
    meant = [f"{word}: {variable.schema[key]}" for key, word in special if key in variable.schema]
    meant = [text for text in meant if text not in must]
    return _text(kind + must + "".join(f"; {text}" for text in meant))


def variables() -> str:
    """The page of all public variables, a table a role."""
    page = [NOTE + VARIABLES]
    for role in ROLES:
        spec = yaml.safe_load((PROJECT / "roles" / role / "meta/argument_specs.yml").read_text())
        main = spec["argument_specs"]["main"]
        page.append(f"\n## {role}\n\n{_text(main.get('short_description', ''))}\n\n")
        page.append("| variable | value | default | what it does |\n|---|---|---|---|\n")
        for name, option in main["options"].items():
            kind = _values(name, option.get("type", "str"))
            page.append(f"| `{name}` | {kind} | {_default(option)} | {_text(option['description'])} |\n")
    return "".join(page)


def json_schema() -> str:
    """The variables as JSON Schema, for editors."""
    from dgctl.schema.document import document

    return json.dumps(document(PROJECT), indent=1, ensure_ascii=False) + "\n"


def exit_codes() -> str:
    """The page of exit codes."""
    from dgctl.errors import MEANING

    rows = "".join(f"| {int(code)} | {meaning} |\n" for code, meaning in MEANING.items())
    return (
        NOTE + "# Exit codes\n\nThey come from what happened on the hosts, and are the same for every verb.\n\n"
        "| code | meaning |\n|---|---|\n" + rows
    )


def gpus() -> str:
    """The page of GPUs, driver branches and boards."""
    sys.path.insert(0, str(PROJECT / "docs"))
    import gpu_tables

    return NOTE + gpu_tables.page()


def systems() -> str:
    """The page of systems, container engines and sources of packages."""
    sys.path.insert(0, str(PROJECT / "docs"))
    import system_tables

    return NOTE + system_tables.page()


def doctor() -> str:
    """The page of what the doctor looks at."""
    sys.path.insert(0, str(PROJECT / "docs"))
    import doctor_table

    return NOTE + doctor_table.page()


def log_lines() -> str:
    """The page of what lines of the programs' logs mean."""
    sys.path.insert(0, str(PROJECT / "docs"))
    import log_tables

    return NOTE + log_tables.page()


def refusals() -> str:
    """The page of hostile but fair inputs, and what comes of each."""
    sys.path.insert(0, str(PROJECT / "docs"))
    import refusal_tables

    return NOTE + refusal_tables.page()


PAGES = {
    "doctor.md": doctor,
    "variables.md": variables,
    "inventory.schema.json": json_schema,
    "exit-codes.md": exit_codes,
    "gpus.md": gpus,
    "systems.md": systems,
    "log-lines.md": log_lines,
    "refusals.md": refusals,
}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (PROJECT / "docs" / name).write_text(page())
        print(f"docs/{name}")
