"""What every public variable may hold: one JSON Schema each, of argument_specs, roles/*/meta/schema.yml and forms.yml.

Validation, docs/reference/variables.md and docs/reference/inventory.schema.json come from it. See forms.yml for its keywords.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgctl import content
from dgctl.content import specs

_HERE = Path(__file__).parent
CONNECTION = "connection"  # in place of the role of Ansible's own variables
_TYPES = {
    "str": "string", "path": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array",
    "dict": "object",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Variable:
    """One variable: `schema` is JSON Schema with the keywords of forms.yml, `option` its entry in argument_specs."""

    name: str
    role: str
    schema: dict[str, Any]
    option: dict[str, Any]

    @property
    def must(self) -> str:
        """What a value must be, in words: after "X must be"."""
        return words(self.schema)

    def allows(self, value: Any) -> bool:
        """Whether "" or null is allowed, and means what the schema says."""
        return (value == "" and ("if_empty" in self.schema or "if_null" in self.schema)) or (
            value is None and "if_null" in self.schema
        )


@functools.cache
def variables(root: Path) -> dict[str, Variable]:
    """Name -> Variable for every role in `root`/roles and for Ansible's own; raises KeyError for an unknown form."""
    forms, options = content.read(_HERE / "forms.yml"), specs.options(root)
    written = {role: content.read(root / "roles" / role / "meta" / "schema.yml") for role in specs.role_names(root)}
    plain = {
        name: _overlaid(_of_spec(option.spec), written[option.role].get(name, {})) for name, option in options.items()
    }
    found = {}
    for name, schema in plain.items():
        followed = plain[schema["as"]] if "as" in schema else {}
        found[name] = Variable(name, options[name].role, _whole({**followed, **schema}, forms), options[name].spec)
    for name, schema in content.read(_HERE / "connection.yml").items():
        found[name] = Variable(name, CONNECTION, _whole(schema, forms), {})
    return found


def _of_spec(spec: dict[str, Any]) -> dict[str, Any]:
    """What argument_specs says, as JSON Schema."""
    if not spec:
        return {}
    kind = spec.get("type", "str")
    schema: dict[str, Any] = {"type": _TYPES[kind]} if kind in _TYPES else {}
    choices = spec.get("choices")
    if kind == "list" and spec.get("elements") in _TYPES:
        schema["items"] = _of_spec({**spec, "type": spec["elements"]} | {"elements": None})
    elif choices:
        schema["enum"] = list(choices)
    if "options" in spec and kind == "dict":
        schema["properties"] = {name: _of_spec(each) for name, each in spec["options"].items()}
        schema["required"] = [name for name, each in spec["options"].items() if each.get("required")]
    return schema


def _overlaid(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`below` with what `above` says; mappings in both are merged."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlaid(merged[key], value) if both else value
    return merged


def _whole(schema: dict[str, Any], forms: dict[str, Any]) -> dict[str, Any]:
    """`schema` with its forms in place, at every depth."""
    schema = _overlaid(forms[schema["form"]], schema) if "form" in schema else schema
    found = {}
    for key, value in schema.items():
        if key in ("items", "additionalProperties", "propertyNames", "if", "then", "else") and isinstance(value, dict):
            value = _whole(value, forms)
        elif key == "properties":
            value = {name: _whole(each, forms) for name, each in value.items()}
        found[key] = value
    return {key: value for key, value in found.items() if key != "form"}


_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping (name: value)",
}


def words(schema: dict[str, Any]) -> str:
    """What a value must be, in words."""
    if "must" in schema:
        return str(schema["must"])
    if "enum" in schema:
        return "one of: " + ", ".join(str(choice) or '""' for choice in schema["enum"])
    return _WORDS.get(str(schema.get("type")), "another value")
