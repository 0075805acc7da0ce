"""What is wrong with a value, by its variable's schema: pure functions of (variable, value)."""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dgctl.base.names import nearest
from dgctl.content.schema import Variable, formats, words

_TRUE = ("y", "yes", "on", "1", "true", "t")  # as Ansible's boolean() has it
_FALSE = ("n", "no", "off", "0", "false", "f")
# Marks and letters that look like nothing, or turn the writing: general categories of Unicode.
_UNSEEN = ("Cf", "Co", "Cn", "Zl", "Zp", "Zs")


@dataclass(frozen=True)
class Fault:
    """One thing wrong in a value: `path` leads to it, `what` begins with the variable's name, `shown` is what is there."""

    path: tuple[str | int, ...]
    what: str
    shown: Any
    fix: str


def faults(variable: Variable, value: Any) -> list[Fault]:
    """Everything wrong with a rendered value of `variable`; an empty list for a right one."""
    if variable.allows(value):
        return []
    if instead := variable.schema.get("computed"):
        return [
            Fault((), f"{variable.name} is computed, and not to be set", value, f"remove it; set {instead} instead")
        ]
    if value is None:
        fix = f"give {variable.must}, or remove the line: the default counts then"
        return [Fault((), f"{variable.name} is set to nothing (null)", None, fix)]
    meant = converted(variable.schema, value)
    found = list(_unseen(variable.name, value, ()))
    hidden = {fault.path for fault in found}
    for error in sorted(_validator(variable).iter_errors(meant), key=lambda error: list(map(str, error.absolute_path))):
        fault = _fault(variable.name, error, value)
        if fault.path not in hidden:
            found.append(fault)
            hidden.add(fault.path)
    return found


def converted(schema: dict[str, Any], value: Any) -> Any:
    """`value` with the texts of an INI file as what they mean: 8080, true. What means nothing stays as it is."""
    kind = schema.get("type")
    if kind == "array" and isinstance(value, list):
        return [converted(schema.get("items") or {}, item) for item in value]
    if kind == "object" and isinstance(value, dict):
        rest = schema.get("additionalProperties")
        others = rest if isinstance(rest, dict) else {}
        known = schema.get("properties") or {}
        return {key: converted(known.get(key, others), item) for key, item in value.items()}
    if "if" in schema and isinstance(value, dict):
        return converted({"type": "object", **schema["then"]}, value)
    return _scalar(schema, str(kind), value)


def _scalar(schema: dict[str, Any], kind: str, value: Any) -> Any:
    text = isinstance(value, str)
    if kind == "integer" and text and re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", value):
        return int(value)
    if kind == "number" and text and re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", value):
        return float(value)
    if kind == "boolean" and not isinstance(value, (bool, float)):
        word = str(value).lower()
        return True if word in _TRUE else False if word in _FALSE else value
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind == "string" and (whole or (schema.get("numeric") and isinstance(value, float))):
        return str(value)
    return value


@functools.cache
def _class() -> Any:
    """JSON Schema 2020-12 with `distinct`, our formats, and numbers as a file of NGINX or TOML has them."""
    from jsonschema import Draft202012Validator, FormatChecker, validators

    kinds = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ).redefine(
        "number",
        lambda _, value: isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value),
    )
    checker = FormatChecker(formats=())
    for name, check in formats.CHECKS.items():
        checker.checks(name)(lambda value, check=check: not isinstance(value, str) or check(value))
    made = validators.extend(Draft202012Validator, {"distinct": _distinct, "pattern": _pattern}, type_checker=kinds)
    return functools.partial(made, format_checker=checker)


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    """As JSON Schema's, but `$` is the end: Python's also matches before a newline there; digits are ASCII's."""
    from jsonschema import ValidationError

    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value, re.ASCII):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _distinct(validator: Any, keys: list[str], items: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    for key in keys if isinstance(items, list) else []:
        seen = Counter(str(item[key]) for item in items if isinstance(item, dict) and key in item)
        for number, item in enumerate(items):
            if isinstance(item, dict) and seen[str(item.get(key))] > 1:
                yield ValidationError(f"the {key} stands there twice", path=[number, key], instance=item[key])
                break


@functools.cache
def _validator(variable: Variable) -> Any:
    return _class()(variable.schema)


def _fault(name: str, error: Any, value: Any) -> Fault:
    path = tuple(error.absolute_path)
    here = f"{name}{dotted(path)}"
    schema, must = error.schema, words(error.schema)
    seen = at(value, path)
    if "propertyNames" in error.absolute_schema_path:
        return Fault(
            (*path, error.instance), f"{here}: a key must be {must}", error.instance, _fix(schema, error.instance)
        )
    if error.validator == "additionalProperties":
        known = list(schema.get("properties") or {})
        key = next(key for key in error.instance if key not in known)
        near = nearest(str(key), known)
        fix = f"did you mean {near}?" if near else f"give only: {', '.join(known)}"
        return Fault((*path, key), f"{here} has no key of this name", key, fix)
    if error.validator == "required":
        key = next(key for key in error.validator_value if key not in error.instance)
        return Fault(path, f"{here} has no {key}", seen, f"add {key}: it must be {words(schema['properties'][key])}")
    if error.validator in ("uniqueItems", "distinct"):
        which = path[-1] if error.validator == "distinct" else "entry"
        twice = seen if error.validator == "distinct" else _twice(seen)
        return Fault(path, f"{here}: the same {which} stands there twice", twice, "remove one of them")
    slip = _slip(schema, seen)
    says = slip[0].get("says") if slip else None
    return Fault(path, f"{here} {says or f'must be {must}{_text(error, must)}'}", seen, _fix(schema, seen))


_KINDS = {"string": "text", "integer": "a whole number", "array": "a list", "object": "a mapping"}


def _text(error: Any, must: str) -> str:
    """What kind of value is asked for, where another kind was given and the words do not say so."""
    kind = _KINDS.get(str(error.validator_value), "")
    return f" ({kind})" if error.validator == "type" and kind and kind not in must else ""


def _slip(schema: dict[str, Any], seen: Any) -> tuple[dict[str, str], re.Match[str]] | None:
    """The first of the schema's `slips` that a value shows, and where."""
    for slip in () if isinstance(seen, (list, dict)) else schema.get("slips", ()):
        found = re.search(slip["pattern"], str(seen))
        if found:
            return slip, found
    return None


def _fix(schema: dict[str, Any], seen: Any) -> str:
    if isinstance(seen, str) and (odd := odd_character(seen)):
        return f"replace {odd}, which only looks right, if it is seen at all"
    if schema.get("type") == "array" and not isinstance(seen, (list, dict)):
        return "write it as a list: in brackets, or each on a line of its own after a dash"
    slip = _slip(schema, seen)
    if slip:
        return slip[0]["fix"].format(slip[1][0], *slip[1].groups())
    if schema.get("type") == "string" and isinstance(seen, (bool, float)):
        return f"write it in quotes, as text: give {words(schema)}"
    return f"give {words(schema)}"


def _twice(items: list[Any]) -> str:
    return next((str(item) for number, item in enumerate(items) if item in items[:number]), "")


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def dotted(path: tuple[str | int, ...]) -> str:
    """`.driver_pool.standard[0].url` for a path."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _unseen(name: str, value: Any, path: tuple[str | int, ...]) -> Iterator[Fault]:
    """Characters in texts and keys that nobody sees, or that are not what they look like."""
    if isinstance(value, dict):
        for key, item in value.items():
            if odd := odd_character(str(key)):
                yield Fault((*path, key), f"a key of {name}{dotted(path)} holds {odd}", key, "type the key again")
            else:
                yield from _unseen(name, item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unseen(name, item, (*path, number))
    elif isinstance(value, str) and (odd := odd_character(value, letters=False)):
        yield Fault(path, f"{name}{dotted(path)} holds {odd}", value, "type the value again, in plain letters")


def odd_character(text: str, letters: bool = True) -> str:
    """The first character of `text` that is unseen, or with `letters` one that is not ASCII's: by number and name."""
    for char in "" if text.isascii() else text:
        if not char.isascii() and (letters or unicodedata.category(char) in _UNSEEN):
            return f"U+{ord(char):04X} ({unicodedata.name(char, 'no name')})"
    return ""
