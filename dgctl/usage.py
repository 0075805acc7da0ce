"""Wrong usage that click finds: its own words on stderr, and with --json a document on stdout as every verb's."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import click

from dgctl.base import streams
from dgctl.base.errors import Exit, Problem


class Commands(click.Group):
    """The group of verbs; as click's, but for what a user's mistake, a stream or a lost folder makes of it."""

    def main(self, args: Any = None, prog_name: str | None = None, **options: Any) -> Any:
        started = time.monotonic()
        streams.last()
        words = list(sys.argv[1:] if args is None else args)
        if lost := _lost_folder():
            sys.exit(_refused(lost, words, started))
        try:
            code = super().main(words, prog_name or "dgctl", **(options | {"standalone_mode": False}))
            sys.exit(code or (Exit.USAGE if streams.failure() else Exit.OK))
        except click.ClickException as error:
            error.show(sys.stderr)
            option = getattr(error, "option_name", "") or getattr(getattr(error, "param", None), "name", "") or ""
            fix = f"dgctl {_verb(words)} --help" if _verb(words) in self.commands else "dgctl --help"
            sys.exit(_document(Problem(error.format_message(), str(option), fix=fix), words, started))
        except click.Abort:
            sys.exit(_refused(Problem("interrupted", fix="run it again"), words, started, Exit.INTERRUPTED))


def _lost_folder() -> Problem | None:
    try:
        os.getcwd()
    except OSError as error:
        return Problem(
            f"the current folder cannot be used: {error.strerror}", fix="cd to a folder that exists, and run it again"
        )
    return None


def _refused(problem: Problem, words: list[str], started: float, code: Exit = Exit.USAGE) -> int:
    print(f"error: {problem.what}\n  fix:   {problem.fix}", file=sys.stderr)
    return _document(problem, words, started, code)


def _document(problem: Problem, words: list[str], started: float, code: Exit = Exit.USAGE) -> int:
    if "--json" in words[: words.index("--") if "--" in words else None]:
        from dgctl.base import json_text
        from dgctl.output.report import Outcome

        document = Outcome(code, [problem]).document(_verb(words), time.monotonic() - started)
        sys.stdout.writelines(json_text.pieces(document))
        sys.stdout.flush()
    return int(code)


def _verb(words: list[str]) -> str:
    return next((word for word in words if not word.startswith("-")), "")
