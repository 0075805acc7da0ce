"""Types and choices, against each role's own argument_specs and with Ansible's own conversions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dgctl.errors import Problem
from dgctl.specs import Option
from dgctl.validation.context import PLACEHOLDER, Context, has

_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "list": "a list",
    "dict": "a mapping (name: value)",
    "str": "text",
    "path": "a path",
}


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        for name, value in context.set_values(host):
            option = context.options.get(name)
            if not option or not option.spec or value is None or has(value, "{{") or has(value, PLACEHOLDER):
                continue
            must = _must(option, value)
            if must:
                yield context.problem(host, name, f"{name} must be {must}", f"give {must}", value)


def _must(option: Option, value: Any) -> str:
    """What the value must be and is not; nothing for a right value."""
    from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

    kind = option.spec.get("type", "str")
    if kind in ("str", "path") and isinstance(value, (list, dict)):
        return _WORDS[kind]
    spec = {key: item for key, item in option.spec.items() if key not in ("default", "required")}
    result = ArgumentSpecValidator({option.name: spec}).validate({option.name: value})
    if not result.error_messages:
        return ""
    first = result.errors.errors[0]
    if type(first).__name__ == "ArgumentValueError" and option.spec.get("choices"):
        return "one of: " + ", ".join(str(choice) for choice in option.spec["choices"])
    if type(first).__name__ == "ElementError":
        return f"a list of which each item is {_WORDS.get(option.spec.get('elements', 'str'), 'valid')}"
    if type(first).__name__ == "ArgumentTypeError":
        return _WORDS.get(kind, kind)
    return f"valid ({'hidden' if option.secret else result.error_messages[0]})"
