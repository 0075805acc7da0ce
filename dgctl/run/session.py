"""The frame around every verb: options in, one outcome out, whatever happens between."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import click

from dgctl.base import json_text, streams
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.output.report import Outcome


@dataclass
class Session:
    """A verb's call: its inventory and options, and the run record once there is one."""

    command: str
    inventory: Path
    limit: str | None = None
    check: bool = False
    yes: bool = False
    full: bool = False
    plan: Path | None = None
    out: Path | None = None
    batch: str = "1"
    max_fail: int = 0
    hosts: tuple[str, ...] = ()
    note: str = ""
    wait: bool = True
    force: bool = False
    dead: bool = False
    wipe: bool = False
    release: str = ""
    driver: str = ""
    watch: float = 0.0
    deep: bool = False
    since: str = "1h"
    explain: bool = False
    follow: bool = False
    green: str = ""
    action: str = ""
    name: str = ""
    kind: str = ""
    program: str | None = None
    proxies: int = 1
    region: str = ""
    streams: bool = False
    files: bool = False
    window: int = 30
    sustain: int = 120
    most: int = 2000
    file_seconds: int = 300
    yes_serving: bool = False
    as_json: bool = False
    verbosity: int = 0
    vault_password_file: tuple[str, ...] = ()
    vault_id: tuple[str, ...] = ()
    ask_vault_pass: bool = False
    commands: Mapping[str, Any] = field(default_factory=dict, repr=False)  # verb -> its click command
    began: float = field(default_factory=time.monotonic)
    record: Any = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def again(self, verb: str | None = None, limit: str | None = None, plan: Path | None = None) -> str:
        """A command to paste: this verb with what it was called with, or another with what it knows of that.

        Never --yes: whoever pastes it is asked.
        """
        verb = verb or self.command
        call = replace(self, limit=limit or self.limit, plan=plan or self.plan)
        inventory = str(self.inventory)
        inventory = f"./{inventory}" if inventory.startswith("-") else inventory  # no option
        named = (*self.hosts, *filter(None, (self.action, self.name)))
        own = verb == self.command
        words = ["dgctl", verb, *filter(None, [self.kind if own else ""]), inventory, *(named if own else ())]
        return shlex.join([*words, *_options(call, self.commands[verb])])


# How a result is shown, and a person's yes: no part of what a command does.
_NOT_REPEATED = ("as_json", "verbosity", "yes")


def _options(session: Session, command: Any) -> list[str]:
    """Those of a command's options that the session has another value of than by default, as words."""
    usual = {each.name: each.default for each in fields(Session)}
    found: list[str] = []
    for option in command.params:
        if option.param_type_name != "option" or option.name in _NOT_REPEATED:
            continue
        value = getattr(session, option.name)
        if value == usual[option.name]:
            continue
        name = next(word for word in option.opts if word.startswith("--"))
        values = value if option.multiple else (value,)
        found += [name] if option.is_flag else [word for one in values for word in (name, str(one))]
    return found


def main(session: Session, verb: Callable[[Session], Outcome]) -> int:
    """Runs `verb`, prints its outcome (one JSON document, or tables), and returns the exit code."""
    with _terminable():
        outcome = _guarded(session, verb)
    if not outcome.said:
        _say(session, outcome)
    if outcome.exit_code == Exit.OK and (error := streams.failure()):
        print(
            f"error: the result cannot be written to stdout: {error.strerror}\n  fix:   make room there",
            file=sys.stderr,
        )
        outcome.exit_code = Exit.USAGE
    if session.record:
        session.record.result(outcome.document(session.command, session.seconds))
        session.record.close()
    return int(outcome.exit_code)


def _guarded(session: Session, verb: Callable[[Session], Outcome]) -> Outcome:
    try:
        return verb(session)
    except DgctlError as error:
        return Outcome(error.exit_code, error.problems, log=_log(session))
    except (KeyboardInterrupt, EOFError, click.Abort):
        return interrupted(session)
    except OSError as error:
        return _refused_file(session, error)
    except (RecursionError, MemoryError) as error:
        what = f"the inventory or a variable is nested too deep, or too large ({type(error).__name__})"
        return Outcome(Exit.INVALID, [Problem(what, str(session.inventory), fix="make it smaller")], log=_log(session))
    except Exception as error:  # the one place that may: anything else is a bug, said in one line
        return _bug(session, error)


def interrupted(session: Session) -> Outcome:
    fix = f"run it again, it goes on from there: {session.again()}"
    return Outcome(Exit.INTERRUPTED, [Problem("interrupted", fix=fix)], log=_log(session))


def _log(session: Session) -> str:
    return str(session.record.log_path) if session.record else ""


def _refused_file(session: Session, error: OSError) -> Outcome:
    """What the system refuses: no room, no permission, no such folder; the traceback is in the log, should it be a bug."""
    place = str(error.filename or "")
    fix = (
        f"look at it, and its rights and room: df -h {shlex.quote(place)}"
        if place
        else "look at this machine's disks and limits"
    )
    problem = Problem(f"this machine refuses what dgctl needs: {error.strerror or error}", place, fix=fix)
    with contextlib.suppress(OSError):
        return Outcome(Exit.USAGE, [problem], log=_traceback(session, error))
    return Outcome(Exit.USAGE, [problem])


def _bug(session: Session, error: Exception) -> Outcome:
    path = _traceback(session, error)
    if type(error).__module__.startswith("ansible.errors"):  # not imported here: it takes a second
        said = " ".join(str(getattr(error, "_message", "") or error).split())
        problem = Problem(f"Ansible refuses it: {said}", str(session.inventory), fix=f"what led there: {path}")
        return Outcome(Exit.INVALID, [problem], log=path)
    what = f"bug in dgctl: {type(error).__name__}"
    return Outcome(Exit.BUG, [Problem(what, path, fix=f"please report it with {path}")], log=path)


def _traceback(session: Session, error: Exception) -> str:
    """The path of the log that holds it."""
    text = "".join(traceback.format_exception(error))
    path = _log(session)
    if path:
        session.record.log(text)
    else:
        descriptor, path = mkstemp(prefix=f"dgctl-bug-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-", suffix=".log")
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    if session.verbosity:
        print(text, file=sys.stderr, end="")
    return path


def _say(session: Session, outcome: Outcome) -> None:
    from rich.console import Console

    from dgctl.output.report import print_errors, print_outcome

    if not outcome.told:
        print_errors(outcome.errors, Console(stderr=True, emoji=False))
    if session.as_json:
        sys.stdout.writelines(json_text.pieces(outcome.document(session.command, session.seconds)))
    else:
        print_outcome(outcome, session.seconds, stdout())
    sys.stdout.flush()


def stdout() -> Any:
    """stdout as wide as the terminal; wide enough for whole lines in a pipe."""
    from rich.console import Console

    return Console(emoji=False) if sys.stdout.isatty() else Console(width=200, emoji=False)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM, and a terminal that is closed (SIGHUP), end a verb as Ctrl-C does: exit 130, with everything put away.

    SIGINT too is set: a shell starts what it runs in the background with Ctrl-C ignored.
    """

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    ended_by = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # else somebody said nohup
        ended_by.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in ended_by}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
