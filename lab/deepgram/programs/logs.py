"""Log lines as the real programs write them, on stdout, in the four formats of --log-format.

Two sources disagree, and no log of a real program in another format than full is published. `FORMS` has both forms of
each: tracing_subscriber's (github:tokio-rs/tracing, tracing-subscriber/src/fmt/format), and those of
developers.deepgram.com/docs/log-formats (`…-page`), which has compact without targets, pretty with a line a field, and
json flat and without spans. STANDIN_LOG_FORM chooses one; else it is the format's name.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from datetime import datetime, timezone

_DEBUG_NEEDS = 2  # -vv
Span = tuple[str, dict]  # a span's name and its fields


class Fatal(Exception):
    """The program has logged why it cannot go on, and ends with 1."""


class Event:
    """One event: `fields` follow its message, `spans` are those that it happened in, the outermost first."""

    def __init__(self, level: str, target: str, message: str, fields: dict, spans: Iterable[Span] = (), now: str = ""):
        self.level, self.target, self.message, self.fields, self.spans = level, target, message, fields, list(spans)
        self.now = now or datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")  # noqa: UP017 - read by tests that 3.9 runs

    @property
    def head(self) -> str:
        return f"{self.now} {self.level:>5} "


def _pairs(fields: dict, sign: str = "=", between: str = " ") -> str:
    return between.join(f"{key}{sign}{_shown(value)}" for key, value in fields.items())


def _shown(value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def full(event: Event) -> str:
    spans = "".join(f"{name}{{{_pairs(fields)}}}:" if fields else f"{name}:" for name, fields in event.spans)
    words = [spans, f"{event.target}:", event.message, _pairs(event.fields)]
    return event.head + " ".join(filter(None, words))


def compact(event: Event, target: bool = True, names: bool = True, spans: bool = True) -> str:
    where = "".join(f"{name}:" for name, _ in event.spans) if names else ""
    theirs = [_pairs(fields) for _, fields in event.spans] if spans else []
    words = [where, f"{event.target}:" if target else "", event.message, _pairs(event.fields), *theirs]
    return event.head + " ".join(filter(None, words))


def pretty(event: Event) -> str:
    fields = f", {_pairs(event.fields, ': ', ', ')}" if event.fields else ""
    lines = [
        f"  {event.head}{event.target}: {event.message}{fields}",
        f"    at src/{event.target.replace('::', '/')}.rs:57",
    ]
    for name, theirs in reversed(event.spans):
        lines.append(f"    in {event.target}::{name}" + (f" with {_pairs(theirs, ': ', ', ')}" if theirs else ""))
    return "\n".join([*lines, ""])


def pretty_page(event: Event) -> str:
    where = "".join(f"{name}: " for name, _ in event.spans)
    fields = {**event.fields, **{key: value for _, theirs in event.spans for key, value in theirs.items()}}
    return "\n".join(
        [f"  {event.head}{where}{event.message}", *(f"    {k}: {_shown(v)}" for k, v in fields.items()), ""]
    )


def in_json(event: Event, flat: bool = True, current: bool = True, listed: bool = True) -> str:
    spans = [{**{key: _plain(value) for key, value in fields.items()}, "name": name} for name, fields in event.spans]
    reported = {"message": event.message, **{key: _plain(value) for key, value in event.fields.items()}}
    record = {
        "timestamp": event.now,
        "level": event.level,
        **(reported if flat else {"fields": reported}),
        "target": event.target,
    }
    if spans and current:
        record["span"] = spans[-1]
    if spans and listed:
        record["spans"] = spans
    return json.dumps(record)


def _plain(value):
    return value if isinstance(value, (bool, int, float)) else str(value)


def in_colour(event: Event) -> str:
    """full with the escape sequences that tracing_subscriber writes unless NO_COLOR is set."""
    spans = "".join(
        f"\x1b[1m{name}\x1b[0m"
        + (f"\x1b[1m{{\x1b[0m{_coloured(fields)}\x1b[1m}}\x1b[0m" if fields else "")
        + "\x1b[2m:\x1b[0m"
        for name, fields in event.spans
    )
    words = [spans, f"\x1b[2m{event.target}\x1b[0m\x1b[2m:\x1b[0m", event.message, _coloured(event.fields)]
    return f"\x1b[2m{event.now}\x1b[0m \x1b[33m{event.level:>5}\x1b[0m " + " ".join(filter(None, words))


def _coloured(fields: dict) -> str:
    return " ".join(f"\x1b[3m{key}\x1b[0m\x1b[2m=\x1b[0m{_shown(value)}" for key, value in fields.items())


FORMS = {
    "full": full,
    "full-colour": in_colour,
    "compact": compact,
    "compact-no-names": lambda event: compact(event, names=False),
    "compact-page": lambda event: compact(event, target=False, spans=False),
    "pretty": pretty,
    "pretty-page": pretty_page,
    "json": in_json,
    "json-page": lambda event: in_json(event, current=False, listed=False),
    "json-fields": lambda event: in_json(event, flat=False),
    "json-fields-span": lambda event: in_json(event, flat=False, listed=False),
    "json-fields-spans": lambda event: in_json(event, flat=False, current=False),
}
# The fields of spans are not in these, and so no line says which file it is about.
NAMELESS = ("compact-page", "json-page")


class Log:
    """`log(level, target, message, key=value ...)`; fields follow the message as `key=value`."""

    def __init__(self, form: str = "full", verbosity: int = 1, out=None):
        self._form = FORMS[os.environ.get("STANDIN_LOG_FORM") or form]
        self._verbosity, self._out = verbosity, out or sys.stdout

    def __call__(self, level: str, target: str, message: str, spans: Iterable[Span] = (), **fields) -> None:
        if level == "DEBUG" and self._verbosity < _DEBUG_NEEDS:
            return
        print(self._form(Event(level, target, message, fields, spans)), file=self._out, flush=True)

    def info(self, target: str, message: str, spans: Iterable[Span] = (), **fields) -> None:
        self("INFO", target, message, spans, **fields)

    def warn(self, target: str, message: str, spans: Iterable[Span] = (), **fields) -> None:
        self("WARN", target, message, spans, **fields)

    def error(self, target: str, message: str, spans: Iterable[Span] = (), **fields) -> None:
        self("ERROR", target, message, spans, **fields)
