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
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkstemp
from typing import Any, Generic, TypeVar

import click

from dgctl.base import json_text, streams
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.output.report import Outcome
from dgctl.run.options import Options

Own = TypeVar("Own", bound=Options)


@dataclass
class Session(Generic[Own]):
    """A verb's call: its inventory, the options that all verbs have, its own ones, and the run record once there is one."""

    command: str
    inventory: Path
    options: Own
    limit: str | None = None
    as_json: bool = False
    verbosity: int = 0
    vault_password_file: tuple[str, ...] = ()
    vault_id: tuple[str, ...] = ()
    ask_vault_pass: bool = False
    commands: Mapping[str, click.Command] = field(default_factory=dict, repr=False)  # verb -> its click command
    started: float = field(default_factory=time.monotonic)
    record: Any = None
    lease: Any = None  # on the servers, while the run has it

    @classmethod
    def of(
        cls,
        command: str,
        inventory: Path,
        own: type[Own],
        given: Mapping[str, Any],
        commands: Mapping[str, click.Command],
    ) -> Session[Own]:
        """The call with what click read (`given`: parameter -> value), divided between all verbs' options and its own."""
        common = {each.name for each in fields(cls)}
        options = own(**{name: value for name, value in given.items() if name not in common})
        shared = {name: value for name, value in given.items() if name in common}
        return cls(command, inventory, options, **shared, commands=commands)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def again(self, verb: str | None = None, **instead: Any) -> str:
        """A command to paste: this verb with what it was called with, or another with what it knows of that.

        `instead`: options that are to have other values. Never --yes: whoever pastes it is asked; nor --break-lock.
        """
        verb = verb or self.command
        place = str(self.inventory)
        place = f"./{place}" if place.startswith("-") else place  # no option
        named = [place]
        if verb == self.command:
            arguments = [
                param.name or "" for param in self.commands[verb].params if param.param_type_name == "argument"
            ]
            named = [word for name in arguments for word in ([place] if name in _PLACES else self._words(name))]
        return shlex.join(["dgctl", verb, *named, *self._options(verb, instead)])

    def _words(self, name: str) -> list[str]:
        """The words of an argument that stands beside the inventory."""
        value = getattr(self.options, name)
        return [str(word) for word in (value if isinstance(value, tuple) else (value,)) if word]

    def _options(self, verb: str, instead: Mapping[str, Any]) -> list[str]:
        """Those of the verb's options that have another value than by default, as words."""
        usual = {each.name: each.default for each in (*fields(self), *fields(self.options))}
        own = {name: getattr(self.options, name) for name in usual if hasattr(self.options, name)}
        values = vars(self) | own | {name: value for name, value in instead.items() if value}
        found: list[str] = []
        for option in self.commands[verb].params:
            name = option.name or ""
            if option.param_type_name != "option" or name in _NOT_REPEATED or values.get(name) == usual.get(name):
                continue
            word = next(word for word in option.opts if word.startswith("--"))
            several = values[name] if option.multiple else (values[name],)
            found += [word] if option.is_flag else [part for one in several for part in (word, str(one))]
        return found


# How a result is shown, and what a person has to say each time: no part of what a command does.
_NOT_REPEATED = ("as_json", "verbosity", "yes", "break_lock")
_PLACES = ("inventory", "place", "directory")  # what click calls the inventory, or the folder where one is written


def main(session: Session, verb: Callable[[Session], Outcome]) -> int:
    """Runs `verb`, prints its outcome (one JSON document, or tables), and returns the exit code."""
    with _terminable():
        outcome = _guarded(session, verb)
    if not outcome.reported:
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
        reported = " ".join(str(getattr(error, "_message", "") or error).split())
        problem = Problem(f"Ansible refuses it: {reported}", str(session.inventory), fix=f"what led there: {path}")
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

    if not outcome.text_only:
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
