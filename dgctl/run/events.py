"""Ansible's events: what the record keeps of one, and what a failure means in a person's words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from dgctl.base import ssh, unreachable
from dgctl.base.errors import Problem, split_fix

FAILED, UNREACHABLE = "runner_on_failed", "runner_on_unreachable"
ENDS = ("runner_on_ok", FAILED, UNREACHABLE, "runner_on_skipped")
KEPT = (*ENDS, "playbook_on_play_start", "playbook_on_task_start", "playbook_on_stats", "runner_retry")
_PREFIX = re.compile(r"^(Task failed: |Action failed: )+")  # what ansible-core puts before every cause
LONGEST = 2000  # characters of a message that a record or an error keeps


def entry(event: dict[str, Any]) -> dict[str, Any] | None:
    """The line of events.jsonl for an event, None for one that says nothing; `res` itself is never kept."""
    if event["event"] not in KEPT:
        return None
    data = event.get("event_data", {})
    result = data.get("res") or {}
    line = {
        "time": event.get("created"),
        "event": event["event"],
        "phase": data.get("play"),
        "host": data.get("host"),
        "role": data.get("role"),
        "task": data.get("task"),
        "path": data.get("task_path"),
        "changed": bool(result.get("changed")) if event["event"] == "runner_on_ok" else None,
        "duration": data.get("duration"),
        "msg": message(result) if event["event"] in (FAILED, UNREACHABLE) else None,
    }
    return {key: value for key, value in line.items() if value not in (None, "")}


def message(result: dict[str, Any]) -> str:
    """The words of a failed result: its msg, the failing items', or the end of stderr."""
    if "censored" in result:
        return "the task failed, and its output is hidden because it holds secrets"
    items = [item for item in result.get("results") or [] if isinstance(item, dict) and item.get("failed")]
    if items:
        return "; ".join(dict.fromkeys(message(item) for item in items))[:LONGEST]
    reported = _PREFIX.sub("", str(result.get("msg") or result.get("reason") or "").strip())
    if (not reported or result.get("rc")) and "Fix: " not in reported:
        reported = _with_tail(reported, _tail(result))
    return reported[:LONGEST] or "the task failed and said nothing"


def _with_tail(reported: str, tail: list[str]) -> str:
    """A program's failure: what it wrote is the cause, in whatever words Ansible says that it failed."""
    if all(line.strip() in reported for line in tail):
        return reported
    return ": ".join(filter(None, (reported.rstrip("."), " | ".join(tail))))


def _tail(result: dict[str, Any]) -> list[str]:
    """The last lines of what a program wrote."""
    text = str(result.get("stderr") or result.get("module_stderr") or result.get("stdout") or "").strip()
    return text.splitlines()[-3:]


def end_of(event: dict[str, Any]) -> str:
    """The event's kind; a failure because sudo refuses is no failed task: nothing can be done on that server."""
    reported = message((event["event_data"].get("res")) or {}) if event["event"] == FAILED else ""
    return UNREACHABLE if unreachable.of_sudo(reported) else event["event"]


def problem(event: dict[str, Any], log: str, way: Callable[[str], ssh.Route]) -> Problem:
    """A failed or unreachable event as a Problem; without a fix of its own it names the task and the log.

    `way`: the way to a host of this name; ssh itself is asked where Ansible lost its words.
    """
    data = event["event_data"]
    result = data.get("res") or {}
    host = data.get("host", "")
    if end_of(event) == UNREACHABLE:
        reported, route = message(result), way(host)
        if unreachable.UNREAD.search(reported):
            reported = ssh.refusal(route) or reported
        what, fix = unreachable.cause(reported, ssh.effective(route))
        return Problem(what, host, reported, fix)
    what, fix = split_fix(message(result))
    fix = str(result.get("fix") or fix)
    task = data.get("task", "")
    if not fix and unreachable.OLD_PYTHON.search(what):
        return Problem(unreachable.NEWER_PYTHON[0], host, what, unreachable.NEWER_PYTHON[1])
    if not fix:
        what, fix = f"{task}: {what}", f'see the task "{task}" in {log}'
    return Problem(what, host, str(result.get("value") or ""), fix)
