"""What can go wrong, and the exit code that says so: docs/reference/exit-codes.md, docs/reference/json.md."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum

from dgctl.base.display import masked


class Exit(IntEnum):
    """Exit codes of every verb: part of the contract, never renumbered."""

    OK = 0
    BUG = 1
    USAGE = 2
    INVALID = 3
    PREFLIGHT = 4
    SOME_FAILED = 5
    HALTED = 6
    UNREACHABLE = 7
    VERIFY = 8
    LOCKED = 9
    CHANGES = 10
    INTERRUPTED = 130


MEANING = {
    Exit.OK: "done",
    Exit.BUG: "a bug in dgctl: one line says so, the traceback is in the run's log",
    Exit.USAGE: "wrong usage: an option, a name that matches no host, nobody there to confirm",
    Exit.INVALID: "the inventory or a variable is invalid; no server was asked",
    Exit.PREFLIGHT: "a server failed the preflight; nothing was changed on any",
    Exit.SOME_FAILED: "some servers failed, within the failure budget; the others are done",
    Exit.HALTED: "a server failed beyond the failure budget (by default none may fail), and the run halted; or it did not "
    "start, because too few servers would have gone on serving",
    Exit.UNREACHABLE: "servers could not be reached; nothing else is wrong",
    Exit.VERIFY: "a check of `verify` failed; or `doctor` found an unhealthy server",
    Exit.LOCKED: "another run holds this deployment's lock, in this folder or, from another one, on the servers",
    Exit.CHANGES: "`plan`: changes are pending; `provision --plan`: more is to be done than the plan says, nothing was changed",
    Exit.INTERRUPTED: "interrupted, or not confirmed",
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what, where (file:line, or host), the value seen, what to do.

    Whatever was put into it, none of the four holds a private key or the password of a URL.
    """

    what: str
    where: str = ""
    value: str = ""
    fix: str = ""

    def __post_init__(self) -> None:
        for name in ("what", "where", "value", "fix"):
            object.__setattr__(self, name, masked(getattr(self, name)))

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class DgctlError(Exception):
    """Stops a verb with an exit code and every problem found so far (never only the first)."""

    def __init__(self, problems: list[Problem] | Problem, exit_code: int):
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        self.exit_code = Exit(exit_code)
        super().__init__("; ".join(problem.what for problem in self.problems))


def split_fix(message: str) -> tuple[str, str]:
    """Splits `WHAT. Fix: WHAT TO DO`, the form in which roles fail, into (what, fix)."""
    what, separator, fix = message.strip().partition("Fix: ")
    if not separator:
        return message.strip(), ""
    return what.strip().rstrip("."), fix.strip()
