"""Log lines as the real programs write them, on stdout: full, pretty and json; compact looks like full here."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

_DEBUG_NEEDS = 2  # -vv


class Fatal(Exception):
    """The program has logged why it cannot go on, and ends with 1."""


class Log:
    """`log(level, target, message, key=value ...)`; fields follow the message as `key=value`."""

    def __init__(self, form: str = "full", verbosity: int = 1, out=None):
        self._format, self._verbosity, self._out = form, verbosity, out or sys.stdout

    def __call__(self, level: str, target: str, message: str, **fields) -> None:
        if level == "DEBUG" and self._verbosity < _DEBUG_NEEDS:
            return
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        print(self._line(now, level, target, message, fields), file=self._out, flush=True)

    def _line(self, now: str, level: str, target: str, message: str, fields: dict) -> str:
        if self._format == "json":
            return json.dumps({"timestamp": now, "level": level, "target": target, "message": message, **fields})
        shown = "".join(f" {key}={value}" for key, value in fields.items())
        if self._format == "pretty":
            return f"  {now} {level:>5} {target}: {message}{shown}\n    at {target.replace('::', '/')}.rs\n"
        return f"{now} {level:>5} {target}: {message}{shown}"

    def info(self, target: str, message: str, **fields) -> None:
        self("INFO", target, message, **fields)

    def warn(self, target: str, message: str, **fields) -> None:
        self("WARN", target, message, **fields)

    def error(self, target: str, message: str, **fields) -> None:
        self("ERROR", target, message, **fields)
