"""What a verb says at its end: checks, tables, and the one JSON document."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dgctl.base.display import printable
from dgctl.base.errors import Exit, Problem
from dgctl.base.words import count, listed

if TYPE_CHECKING:
    from rich.console import Console

    from dgctl.plan.plan import HostPlan

PASS, FAIL, SKIP = "pass", "fail", "skip"
# A check of this name that fails means: the host could not be asked anything (exit 7, not 8).
REACHABLE = "reachable"
# So begins what a check of an Engine says that no API asks yet: the API's own verification proves it.
NO_API_YET = "no API asks this Engine yet"
PAGE = 50  # lines of errors
NARROW = 60  # columns; on a terminal that has fewer no table is readable
MANY = 60  # checks; of more than that only those that do not pass are printed
STYLES = {
    "ok": "green",
    "changed": "yellow",
    "failed": "bold red",
    "unreachable": "bold red",
    "skipped": "dim",
    "drained": "magenta",
    PASS: "green",
    FAIL: "bold red",
    SKIP: "dim",
}


@dataclass(frozen=True)
class Check:
    """One finding about one host: `verdict` is pass, fail or skip; `fix` is what to do when it fails.

    `cause`: why it fails, where that is known; `follows`: the check that fails and explains this one.
    """

    host: str
    check: str
    verdict: str
    seen: str = ""
    expected: str = ""
    fix: str = ""
    cause: str = ""
    follows: str = ""

    def as_dict(self) -> dict[str, str]:
        return {name: text for name, text in asdict(self).items() if text or name not in ("cause", "follows")}


@dataclass
class HostState:
    """One host in the end table and the JSON document.

    `status` is what `dgctl status` found, `plan` what is to be done.
    """

    state: str = "ok"
    changed: int = 0
    errors: list[Problem] = field(default_factory=list)
    seconds: float | None = None
    status: dict[str, Any] = field(default_factory=dict)
    plan: HostPlan | None = None


@dataclass
class Outcome:
    """What a verb came to. `hosts` and `checks` are None for verbs that have none.

    `text`: lines for people, before the tables. `timings`: phase -> seconds, and `roles`: role -> seconds a server.
    """

    exit_code: Exit = Exit.OK
    errors: list[Problem] = field(default_factory=list)
    hosts: dict[str, HostState] | None = None
    checks: list[Check] | None = None
    lowered: list[dict[str, Any]] = field(default_factory=list)
    hints: list[Problem] = field(default_factory=list)
    summary: str = ""
    next_command: str = ""
    brief: bool = False  # people see only the checks that do not pass
    text_only: bool = False  # `text` says it all: people see no tables and no errors beside it
    log: str = ""
    reported: bool = False  # it was shown already
    text: list[str] = field(default_factory=list)
    timings: dict[str, Any] = field(default_factory=dict)
    diffs: list[dict[str, str]] = field(default_factory=list)
    audit: dict[str, Any] = field(default_factory=dict)
    keys: list[dict[str, str]] = field(default_factory=list)  # of callers: {name, added, sha256}; a new one's `key`
    images: list[dict[str, str]] = field(default_factory=list)  # of images save, load and update: {name, digest}
    capacity: dict[str, Any] = field(default_factory=dict)
    benches: list[dict[str, Any]] | None = None  # of bench --compare
    lines: list[dict[str, Any]] | None = None  # of logs
    journals: list[dict[str, Any]] = field(default_factory=list)  # that were fetched

    def document(self, command: str, seconds: float) -> dict[str, Any]:
        """The document that `--json` prints (docs/reference/json.md), made text by json_text."""
        found: dict[str, Any] = {
            "command": command,
            "exit_code": int(self.exit_code),
            "seconds": round(seconds, 3),
            "errors": [problem.as_dict() for problem in self.errors],
        }
        if self.hosts is not None:
            found["hosts"] = {name: _host(host) for name, host in self.hosts.items()}
        if self.checks is not None:
            found["checks"] = [check.as_dict() for check in self.checks]
        if self.benches is not None:
            found["benches"] = self.benches
        if self.lines is not None:
            found["lines"] = self.lines
        if self.hints:
            found["hints"] = [hint.as_dict() for hint in self.hints]
        for name in ("lowered", "timings", "diffs", "keys", "images", "audit", "capacity", "journals"):
            if getattr(self, name):
                found[name] = getattr(self, name)
        if self.log:
            found["log"] = self.log
        return found


def _host(host: HostState) -> dict[str, Any]:
    found = {"state": host.state, "changed": host.changed, "errors": [each.as_dict() for each in host.errors]}
    return found | {name: getattr(host, name) for name in ("status", "plan") if getattr(host, name)}


def states_of_checks(hosts: list[str], checks: list[Check]) -> dict[str, HostState]:
    """Hosts by their checks: failed when one fails, unreachable when the one that failed is REACHABLE.

    Their errors are the causes alone, not what follows from them.
    """
    found = {name: HostState() for name in hosts}
    for check in checks:
        if check.verdict != FAIL:
            continue
        host = found.setdefault(check.host, HostState())
        if check.check == REACHABLE:
            host.state = "unreachable"
        elif host.state != "unreachable":
            host.state = "failed"
        if not check.follows:
            host.errors.append(problem_of_check(check))
    return found


def problem_of_check(check: Check) -> Problem:
    expected = f" (expected {check.expected})" if check.expected else ""
    return Problem(f"{check.check}{expected}", check.host, check.seen, check.fix)


def print_errors(problems: list[Problem], console: Console) -> None:
    """Each problem on its lines: what, then where, value and fix; what many hosts share is said once.

    Of more than fit on PAGE lines the first, and how many there are.
    """
    places: dict[Problem, list[str]] = {}
    for problem in problems:
        places.setdefault(replace(problem, where=""), []).append(problem.where)
    room = PAGE
    for number, (shared, where) in enumerate(places.items()):
        lines = _lines(replace(shared, where=listed(list(dict.fromkeys(filter(None, where))))))
        room -= len(lines)
        if room < 0 and number:
            text = f"{count(len(places), 'error')}, of which these are the first {number}: --json has all of them"
            console.print(text, style="bold red", markup=False, highlight=False, soft_wrap=True)
            return
        for line in lines:
            style = "bold red" if line is lines[0] else None
            console.print(printable(line), style=style, markup=False, highlight=False, soft_wrap=True)


def _lines(problem: Problem) -> list[str]:
    labelled = (("where", problem.where), ("value", problem.value), ("fix", problem.fix))
    return [f"error: {problem.what}", *(f"  {label + ':':<6} {text}" for label, text in labelled if text)]


def print_outcome(outcome: Outcome, seconds: float, console: Console) -> None:
    """The end of a run on stdout: tables, time, log, next command."""
    from dgctl.output.progress import clock

    for line in outcome.text:
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
    if outcome.checks and not outcome.text_only:
        _print_checks(outcome.checks, console, outcome.brief or len(outcome.checks) > MANY)
    if not outcome.text_only and any(
        host.seconds is not None or host.errors or host.status for host in (outcome.hosts or {}).values()
    ):
        _print_hosts(outcome.hosts, console)
    for hint in outcome.hints:
        text = f"hint: {hint.what} ({hint.where}): {hint.fix}"
        console.print(printable(text), style="yellow", markup=False, highlight=False, soft_wrap=True)
    for text in _lowered(outcome.lowered):
        console.print(printable(text), style="yellow", markup=False, highlight=False, soft_wrap=True)
    if outcome.summary:
        console.print(
            f"{printable(outcome.summary)} in {clock(seconds)}", markup=False, highlight=False, soft_wrap=True
        )
    if outcome.log:
        console.print(f"log:  {outcome.log}", markup=False, highlight=False, soft_wrap=True)
    if outcome.next_command:
        console.print(f"next: {outcome.next_command}", markup=False, highlight=False, soft_wrap=True)


def _lowered(found: list[dict[str, Any]]) -> list[str]:
    """One line a lowered minimum, with the hosts that share it."""
    shared: dict[str, list[str]] = {}
    for low in found:
        text = f"{low.get('name')} is {low.get('value')} (usual: {low.get('usual')})"
        shared.setdefault(text, []).append(str(low["host"]))
    return [f"lowered: {text} on {listed(sorted(hosts))}" for text, hosts in shared.items()]


def _print_hosts(hosts: dict[str, HostState], console: Console) -> None:
    from dgctl.output import overview
    from dgctl.output.progress import clock

    if any(host.status for host in hosts.values()):
        headings, rows = overview.table({name: (host.state, host.status) for name, host in hosts.items()})
        _table(headings, rows, console, state=1)
        return
    rows = []
    for name, host in hosts.items():
        seconds = clock(host.seconds) if host.seconds is not None else ""
        rows.append((name, host.state, str(host.changed), seconds, _note(host)))
    _table(("HOST", "STATE", "CHANGED", "TIME", "NOTE"), rows, console, state=1)


def _note(host: HostState) -> str:
    """The cause of a bad state on one line."""
    more = f" (and {len(host.errors) - 1} more)" if len(host.errors) > 1 else ""
    return host.errors[0].what + more if host.errors else ""


def _print_checks(checks: list[Check], console: Console, brief: bool) -> None:
    """A check a line; `brief` leaves out those that pass. Of a server out of reach one line says all."""
    missing = {check.host for check in checks if check.check == REACHABLE and check.verdict == FAIL}
    shown = [check for check in checks if not (check.host in missing and check.verdict == SKIP)]
    shown = [check for check in shown if not (brief and check.verdict == PASS)]
    rows = [(check.host, check.check, check.verdict, _seen(check)) for check in shown]
    if rows:
        _table(("HOST", "CHECK", "VERDICT", "SEEN"), rows, console, state=2)
    if passed := brief and sum(check.verdict == PASS for check in checks):
        console.print(f"{passed} checks pass")


def _seen(check: Check) -> str:
    return f"follows from {check.follows}: {check.seen}" if check.follows else check.seen


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]], console: Console, state: int) -> None:
    from rich.table import Table
    from rich.text import Text

    rows = [tuple(map(printable, row)) for row in rows]
    if console.width < NARROW:
        _records(headings, rows, console, state)
        return
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    widths = [max(len(text) for text in column) + 2 for column in zip(headings, *rows, strict=True)]
    room = max(20, console.width - sum(widths[:-1]))  # the last column is free text: cut, not wrapped
    for row in rows:
        row = (*row[:-1], row[-1] if len(row[-1]) <= room else f"{row[-1][: room - 1]}…")
        table.add_row(*(Text(text, STYLES.get(text, "") if n == state else "") for n, text in enumerate(row)))
    console.print(table)


def _records(headings: tuple[str, ...], rows: list[tuple[str, ...]], console: Console, state: int) -> None:
    """What the table says, a row a paragraph and a cell a line, without the cells that are empty."""
    width = max(map(len, headings))
    for row in rows:
        console.print(row[0], style=STYLES.get(row[state], "") or "bold", markup=False, highlight=False)
        for heading, text in list(zip(headings, row, strict=True))[1:]:
            if text not in ("", "-"):
                console.print(f"  {heading.lower():<{width}} {text}", markup=False, highlight=False)
