"""`logs`: what servers said, in one stream by time, with what known lines mean."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dgctl.base import moments
from dgctl.base.display import printable, printable_json, value
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.base.names import suggestion
from dgctl.base.words import count
from dgctl.deployment.deployment import Deployment
from dgctl.output.report import HostState, Outcome
from dgctl.run import history, host_logs
from dgctl.run import options as common
from dgctl.run.session import Session
from dgctl.run.work import Work, valid
from dgctl.validation import secrets

# The moment that a program writes at the head of its lines: it stands there already.
_OWN_TIME = re.compile(r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?Z?\s+")


@dataclass(frozen=True, kw_only=True)
class Options(common.OnHosts):
    since: str = "1h"
    explain: bool = False
    follow: bool = False


def logs(session: Session[Options]) -> Outcome:
    with valid(session) as work:
        names = asked(work.deployment, session.options.hosts)
        states = {name: HostState() for name in names}
        found = lines(work, names, states)
        outcome = followed(session, found) if session.options.follow else collected(session, found)
        outcome.hosts = states
        outcome.errors = [problem for state in states.values() for problem in state.errors]
        outcome.exit_code = Exit.UNREACHABLE if outcome.errors else Exit.OK
        return outcome


def asked(deployment: Deployment, hosts: tuple[str, ...]) -> list[str]:
    """The named servers, or all targets; raises DgctlError (exit 2) for one that is not in the inventory."""
    unknown = [name for name in hosts if name not in deployment.hosts]
    if unknown:
        raise DgctlError([_unknown(deployment, name) for name in unknown], Exit.USAGE)
    return list(dict.fromkeys(hosts)) or deployment.targets


def _unknown(deployment: Deployment, name: str) -> Problem:
    fix = suggestion(name, deployment.hosts)
    return Problem("the inventory has no such server", shown(deployment.inventory), value(name), fix)


def lines(work: Work, names: list[str], states: dict[str, HostState]) -> Iterator[dict[str, Any]]:
    """Each line as it comes, with its server, without the deployment's secrets; problems go into the states."""
    session, redact = work.session, history.Redactor(secrets.values(work.deployment))
    request = {
        **moments.back(session.options.since),
        "follow": session.options.follow,
        "explain": session.options.explain,
    }
    for name, reported in host_logs.read([work.deployment.hosts[name] for name in names], request):
        if isinstance(reported, Problem):
            states[name].state = "unreachable"
            states[name].errors.append(reported)
            if session.options.follow:
                yield {"host": name, "error": reported.as_dict()}
        else:
            yield {
                "host": name,
                **{key: redact(text) if isinstance(text, str) else text for key, text in reported.items()},
            }


def collected(session: Session[Options], found: Iterator[dict[str, Any]]) -> Outcome:
    """All lines, by time; at the end which known ones there were."""
    every = list(found)
    reported = sorted((line for line in every if "text" in line), key=lambda line: line["time"])
    outcome = Outcome(lines=reported, brief=True)
    outcome.text = [text for line in reported for text in paragraph(line)]
    outcome.text += [f"note: {line['host']}: {line['note']}" for line in every if "note" in line]
    known = Counter(line["signature"] for line in reported if "signature" in line)
    outcome.summary = count(len(reported), "line")
    if session.options.explain:
        signatures = ", ".join(f"{name} ({number})" for name, number in known.most_common()) or "none"
        outcome.summary += f"; known: {signatures}"
    return outcome


def followed(session: Session[Options], found: Iterator[dict[str, Any]]) -> Outcome:
    """Prints each line as it comes, until Ctrl-C."""
    try:
        for line in found:
            if session.as_json:  # a document a line
                print(printable_json(json.dumps(line, ensure_ascii=False)), flush=True)
            elif "text" not in line:
                reported = line["note"] if "note" in line else line["error"]["what"]
                print(printable(f"note: {line['host']}: {reported}"), file=sys.stderr, flush=True)
            else:
                print("\n".join(map(printable, paragraph(line))), flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        found.close()  # type: ignore[attr-defined]
    return Outcome(reported=session.as_json)


def paragraph(line: dict[str, Any]) -> list[str]:
    """`2026-11-30 08:11:28.123  gpu1  engine  TEXT`, and below it what it means."""
    when = moments.shown(line["time"])
    text = _OWN_TIME.sub("", " ".join(line["text"].split()))
    first = f"{when}  {line['host']}  {line['source']}  {text}"
    if "signature" not in line:
        return [first]
    return [first, f"    = {line['signature']}: {line['meaning']}", f"    fix: {line['fix']}"]
