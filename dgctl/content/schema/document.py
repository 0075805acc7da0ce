"""The schemas of all variables as plain JSON Schema, which editors know how to read (docs/reference/inventory.schema.json)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dgctl.content import specs
from dgctl.content.schema import CONNECTION, Variable, variables

_PLAIN = {
    "additionalProperties", "const", "else", "enum", "format", "if", "items", "maximum", "minItems", "minimum", "not", "pattern",
    "properties", "propertyNames", "required", "then", "type", "uniqueItems",
}  # fmt: skip
_TEMPLATE = {"type": "string", "pattern": r"\{[{%]", "title": "a template of Ansible's"}


def document(root: Path) -> dict[str, Any]:
    """JSON Schema 2020-12 of a file of group_vars or host_vars: any variable may be a template, and others may be there."""
    known = variables(root)
    prefixes = "|".join(specs.role_names(root))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Variables of a dgctl deployment (group_vars, host_vars)",
        "$comment": "Written by docs/generate.py: change roles/*/meta/schema.yml or dgctl/schema/, not this file.",
        "type": "object",
        "properties": {name: _property(variable) for name, variable in sorted(known.items())},
        "propertyNames": {"anyOf": [{"enum": sorted(known)}, {"not": {"pattern": f"^({prefixes})_"}}]},
    }


def _property(variable: Variable) -> dict[str, Any]:
    found: dict[str, Any] = {"title": variable.must}
    if variable.role != CONNECTION:
        text = variable.option.get("description", "")
        found["description"] = " ".join(text) if isinstance(text, list) else text
    if source := variable.schema.get("source"):
        found["$comment"] = f"form: {source}"
    empty = [value for value in ("", None) if variable.allows(value)]
    return found | {"anyOf": [plain(variable.schema), _TEMPLATE, *([{"enum": empty}] if empty else [])]}


def plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with the keywords of JSON Schema alone."""
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key not in _PLAIN:
            continue
        if key == "properties":
            value = {name: plain(each) for name, each in value.items()}
        elif isinstance(value, dict):
            value = plain(value)
        found[key] = value
    if schema.get("type") == "string" and schema.get("numeric"):
        found["type"] = ["string", "number"]
    return found
