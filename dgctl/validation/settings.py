"""Types of the keys that Deepgram's files are known to have (settings.yml): a program does not start with a wrong one."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from dgctl.base.errors import Problem
from dgctl.deployment.deployment import Host
from dgctl.validation.context import PLACEHOLDER, Context, has

_DRIVERS = "driver_pool.standard"
# Variable -> (the file's keys in settings.yml, where in that file its own keys stand).
_MERGED = {
    "deepgram_api_settings": ("api", ""),
    "deepgram_api_driver": ("api", f"{_DRIVERS}[]."),
    "deepgram_engine_settings": ("engine", ""),
    "license_proxy_settings": ("license_proxy", ""),
}
_DURATION = re.compile(r"\s*(\d+(\.\d+)?\s*[a-z]+\s*)+")
_MUST = {
    "text": "text",
    "duration": 'a duration in text, such as "5s"',
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
    "table": "a mapping (name: value)",
}


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        for name, (file, prefix) in _MERGED.items():
            value = host.vars.get(name)
            if name in host.written and name not in host.unrendered and isinstance(value, dict):
                yield from _wrong(context, host, name, types(file), prefix)
                yield from _lost(context, host, name)


@functools.cache
def types(file: str) -> dict[str, str]:
    """Dotted key -> type of `file` (api, engine, license_proxy); tables that hold keys are of type "table"."""
    known = yaml.safe_load(Path(__file__).with_name("settings.yml").read_text(encoding="utf-8"))[file]
    tables = {key[: dot.start()] for key in known for dot in re.finditer(r"(?:\[\])?\.", key)}
    lists = {key[: dot.start()] for key in known for dot in re.finditer(r"\[\]\.", key)}
    return dict.fromkeys(tables, "table") | dict.fromkeys(lists, "list") | known


def _wrong(context: Context, host: Host, name: str, known: dict[str, str], prefix: str) -> Iterator[Problem]:
    for path, value in _leaves(host.vars[name], ()):
        kind = known.get(prefix + _dotted(path, "[]"))
        if not kind or value is None or has(value, "{{") or has(value, PLACEHOLDER) or fits(kind, value):
            continue
        what = f"{name}: {_dotted(path)} must be {_MUST[kind]}"
        yield Problem(what, context.place(host, name, path), _shown(context, name, path, value), _fix(kind, value))


def _lost(context: Context, host: Host, name: str) -> Iterator[Problem]:
    """Entries of driver_pool.standard without an address: the list replaces the whole list of Engines."""
    pool = host.vars[name].get("driver_pool")
    drivers = pool.get("standard") if isinstance(pool, dict) and name == "deepgram_api_settings" else None
    for number, driver in enumerate(drivers if isinstance(drivers, list) else []):
        if isinstance(driver, dict) and not driver.get("url"):
            path = ("driver_pool", "standard", number)
            what = f"{name}: {_dotted(path)} has no url, and the list replaces the whole list of Engines"
            fix = "put timings for all Engines into deepgram_api_driver, such as {retry_sleep: 5s}"
            yield Problem(what, context.place(host, name, path), json.dumps(driver), fix)


def _leaves(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """(path, value) of every value, tables and lists too."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, (*path, number))


def _dotted(path: tuple[str | int, ...], number: str = "") -> str:
    """`driver_pool.standard[0].url`; with `number` in place of each number."""
    text = "".join(f".{step}" if isinstance(step, str) else number or f"[{step}]" for step in path)
    return text.removeprefix(".")


def fits(kind: str, value: Any) -> bool:
    """Whether a value is of a type of settings.yml."""
    if kind in ("integer", "number"):
        return isinstance(value, int if kind == "integer" else (int, float)) and not isinstance(value, bool)
    if kind == "duration":
        return isinstance(value, str) and bool(_DURATION.fullmatch(value))
    return isinstance(value, {"text": str, "boolean": bool, "list": list, "table": dict}[kind])


def _fix(kind: str, value: Any) -> str:
    if kind in ("integer", "number", "boolean") and isinstance(value, str):
        meant = yaml.safe_load(value) if re.fullmatch(r"[\w.+-]+", value) else None
        if fits(kind, meant):
            return f"write {json.dumps(meant)} without quotes"
    if kind == "duration" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"give {_MUST[kind].replace('5s', f'{value}s')}"
    return f"give {_MUST[kind]}"


def _shown(context: Context, name: str, path: tuple[str | int, ...], value: Any) -> str:
    return context.shown(name, path, json.dumps(value))
