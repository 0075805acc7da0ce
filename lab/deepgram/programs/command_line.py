"""The programs' command line: `-v [--log-format=F] serve CONFIG`, with the real parser's refusals.

Billing's is `serve --config CONFIG`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

FORMATS = ("full", "compact", "pretty", "json")


@dataclass(frozen=True)
class Arguments:
    config: str
    verbosity: int = 0
    log_format: str = "full"


def _refuse(program: str, what: str, usage: str = "[OPTIONS] <COMMAND>") -> None:
    print(
        f"error: {what}\n\nUsage: {program} {usage}\n\nFor more information, try '--help'.",
        file=sys.stderr,
        flush=True,
    )
    raise SystemExit(2)


def parse(program: str, arguments: list[str]) -> Arguments:
    """Reads the arguments; a wrong one ends the program with 2, as clap does."""
    verbosity, log_format = 0, ""
    json_asked = program == "stem" and "JSON" in os.environ  # the API's older way to ask for JSON lines
    left = list(arguments)
    if program == "billing" and left and left[0].startswith("-"):  # whether it knows any option is not published
        _refuse(program, f"unexpected argument '{left[0]}' found")
    while left and left[0].startswith("-"):
        option = left.pop(0)
        name, _, value = option.partition("=")
        if set(option[1:]) == {"v"}:
            verbosity += len(option) - 1
        elif name == "--log-format":
            log_format = value or (left.pop(0) if left else "")
            if log_format not in FORMATS:
                _refuse(program, f"invalid value '{log_format}' for '--log-format <LOG_FORMAT>'")
        elif option == "--json" and program == "stem":
            json_asked = True
        else:
            _refuse(program, f"unexpected argument '{name}' found")
    if json_asked and log_format not in ("", "json"):
        _refuse(program, f"'--json' cannot be used with '--log-format={log_format}'")
    return Arguments(_config_path(program, left), verbosity, "json" if json_asked else log_format or "full")


def _config_path(program: str, left: list[str]) -> str:
    if not left:
        _refuse(program, f"'{program}' requires a subcommand but one was not provided")
    if left[0] != "serve":
        _refuse(program, f"unrecognized subcommand '{left[0]}'")
    if program == "billing":  # the chart: args of billing.statefulset.yaml
        if len(left) != 3 or left[1] != "--config":
            _refuse(program, "expected --config <CONFIG>", "serve --config <CONFIG>")
        return left[2]
    usage = "serve <CONFIG>"
    for argument in left[1:]:
        if argument.startswith("-"):
            _refuse(program, f"unexpected argument '{argument.partition('=')[0]}' found", usage)
    if len(left) != 2:
        _refuse(program, f"expected one <CONFIG>, found {len(left) - 1}", usage)
    return left[1]
