"""Keys of Deepgram's files in the settings of an inventory: known ones, with a value of their type.

A program does not start with a wrong type, and passes a key that it does not know in silence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from dgctl.base.errors import Problem
from dgctl.content.schema.faults import at
from dgctl.deployment.deployment import Host
from dgctl.validation.context import PLACEHOLDER, Context, has
from dgctl.validation.settings import keys
from dgctl.validation.settings.keys import Path_, dotted, types

__all__ = ["fits", "problems", "types"]

_DRIVERS = "driver_pool.standard"
# Variable -> (the file's keys in keys.yml, where in that file its own keys stand, the variable for keys that keys.yml lacks).
_MERGED = {
    "deepgram_api_settings": ("api", "", "deepgram_api_extra_settings"),
    "deepgram_api_driver": ("api", f"{_DRIVERS}[].", "deepgram_api_driver_extra"),
    "deepgram_engine_settings": ("engine", "", "deepgram_engine_extra_settings"),
    "license_proxy_settings": ("license_proxy", "", "license_proxy_extra_settings"),
    "billing_settings": ("billing", "", "billing_extra_settings"),
}
_FILES = {
    "api": "api.toml",
    "engine": "engine.toml",
    "license_proxy": "license-proxy.toml",
    "billing": "billing.toml",
}
_ENGINES = "deepgram_engines"
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


@dataclass(frozen=True)
class _Given:
    """A dictionary of settings: where it stands, and which keys it may have. `extra`: where others belong; "" for here."""

    variable: str
    at: Path_
    title: str
    value: dict[str, Any]
    file: str
    prefix: str
    extra: str


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        for given in _given(host):
            yield from _wrong(context, host, given)
            yield from _unknown(context, host, given)
            yield from _hidden(context, host, given)
        if isinstance(host.written.get("deepgram_api_settings"), dict):
            yield from _lost(context, host)
            yield from _homeless(context, host)


def _given(host: Host) -> Iterator[_Given]:
    """Every dictionary of settings that a host's inventory has."""
    for name, (file, prefix, extra) in _MERGED.items():
        for variable, beyond in ((name, extra), (extra, "")):
            value = host.vars.get(variable)
            if variable in host.written and variable not in host.unrendered and isinstance(value, dict):
                yield _Given(variable, (), variable, value, file, prefix, beyond)
    engines = host.vars.get(_ENGINES) if _ENGINES in host.written and _ENGINES not in host.unrendered else None
    for number, engine in enumerate(engines if isinstance(engines, list) else []):
        for short, beyond in (("settings", "extra_settings"), ("extra_settings", "")):
            value = engine.get(short) if isinstance(engine, dict) else None
            if isinstance(value, dict):
                title = f"{_ENGINES}[{number}].{short}"
                beyond = f"{beyond} beside it" if beyond else ""
                yield _Given(_ENGINES, (number, short), title, value, "engine", "", beyond)


def _wrong(context: Context, host: Host, given: _Given) -> Iterator[Problem]:
    known = types(given.file)
    for path, value in keys.leaves(given.value):
        kind = known.get(given.prefix + dotted(path, "[]"))
        if kind in (None, keys.OPEN) or value is None or has(value, "{{") or has(value, PLACEHOLDER):
            continue
        if not fits(kind, value):
            what = f"{given.title}: {dotted(path)} must be {_MUST[kind]}"
            yield _problem(context, host, given, path, value, what, _fix(kind, value))


def _unknown(context: Context, host: Host, given: _Given) -> Iterator[Problem]:
    """Keys that are in no file of Deepgram's as far as keys.yml knows: most often a slip, which no program reports."""
    if not given.extra:
        return
    misplaced = {path for path, _place in keys.misplaced_limits(given.file, given.value)}
    for path, value in keys.unknown(given.file, given.value, given.prefix):
        if path in misplaced:
            continue
        near = keys.nearest_to(given.file, path, given.prefix)
        fix = f"did you mean {near}? " if near else ""
        fix += f"{'A' if near else 'a'} key newer than this dgctl goes into {given.extra}"
        what = f"{given.title}: {dotted(path)} is no known key of {_FILES[given.file]}"
        yield _problem(context, host, given, path, value, what, fix)


def _hidden(context: Context, host: Host, given: _Given) -> Iterator[Problem]:
    """Limits in another table than their own: the program does not read them there, and runs without a limit."""
    if given.prefix:
        return
    for path, place in keys.misplaced_limits(given.file, given.value):
        table = dotted(path[:-1]) or "the top"
        own = place.rpartition(".")[0] or "the top of the file"
        what = (
            f"{given.title}: a limit that {_FILES[given.file]} has at {own} stands at {table}: it would limit nothing"
        )
        yield _problem(context, host, given, path, at(given.value, path), what, f"write it as {place}")


def _lost(context: Context, host: Host) -> Iterator[Problem]:
    """Entries of driver_pool.standard without an address: the list replaces the whole list of Engines."""
    name = "deepgram_api_settings"
    pool = (host.vars.get(name) or {}).get("driver_pool") if name not in host.unrendered else None
    drivers = pool.get("standard") if isinstance(pool, dict) else None
    for number, driver in enumerate(drivers if isinstance(drivers, list) else []):
        if isinstance(driver, dict) and not driver.get("url"):
            path = ("driver_pool", "standard", number)
            what = f"{name}: {dotted(path)} has no url, and the list replaces the whole list of Engines"
            fix = "put timings for all Engines into deepgram_api_driver, such as {retry_sleep: 5s}"
            yield Problem(what, context.place(host, name, path), json.dumps(driver), fix)


def _homeless(context: Context, host: Host) -> Iterator[Problem]:
    """A buffer at a path where the container has no directory of the server's."""
    name, path = "deepgram_api_settings", ("features", "disk_buffer_path")
    features = (host.vars.get(name) or {}).get("features") if name not in host.unrendered else None
    where = features.get("disk_buffer_path") if isinstance(features, dict) else None
    if isinstance(where, str) and where:
        what = f"{name}: features.disk_buffer_path is a path in the container, and nothing of the server is there"
        fix = "take it out, and give the server's directory in deepgram_api_disk_buffer_dir: the role mounts it"
        yield Problem(what, context.place(host, name, path), context.shown(name, path, json.dumps(where)), fix)


def _problem(context: Context, host: Host, given: _Given, path: Path_, value: Any, what: str, fix: str) -> Problem:
    whole = (*given.at, *path)
    shown = context.shown(given.variable, whole, json.dumps(value, default=str))
    return Problem(what, context.place(host, given.variable, whole), shown, fix)


def fits(kind: str, value: Any) -> bool:
    """Whether a value is of a type of keys.yml."""
    if kind == keys.OPEN:
        return True
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
