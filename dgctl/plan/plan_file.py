"""A plan in a file: written by `plan --out`, and what `provision --plan` may carry out at most."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from dgctl.base import given, json_text
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.plan.plan import HostPlan, Plan
from dgctl.plan.reasons import Kind

FORMAT = 1
UNWRITTEN = "the plan cannot be written"
_AGAIN = "plan again, then decide: dgctl plan INVENTORY --out FILE"


def require_free(path: Path) -> None:
    """Raises DgctlError (exit 2) where something is that no plan was written to: nobody's file is overwritten."""
    if not os.path.exists(path):
        given.require_place(path, UNWRITTEN)
        return
    try:
        named = path.is_file() and "format" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, RecursionError):
        named = False
    if not named:
        fix = "name a file that does not exist yet, or an older plan"
        raise DgctlError(Problem("--out names a file that is no plan", shown(path), fix=fix), Exit.USAGE)


def write(plan: Plan, path: Path) -> None:
    """Writes the plan for its owner alone; raises DgctlError (exit 2) when that cannot be done."""
    require_free(path)
    hosts = {name: {"steps": host.steps} for name, host in plan.hosts.items()}
    mode = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with given.refused(UNWRITTEN, path, "name another file"), os.fdopen(os.open(path, mode, 0o600), "w") as file:
        file.writelines(json_text.pieces({"format": FORMAT, "hosts": hosts}))


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Host -> its planned steps by role; raises DgctlError (exit 2) for a file that is no plan."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            problem = Problem("the plan is of another version of dgctl", shown(path), str(document["format"]), _AGAIN)
            raise DgctlError(problem, Exit.USAGE)
        return {name: {step["role"]: step for step in host["steps"]} for name, host in document["hosts"].items()}
    except OSError as error:
        problem = Problem("the plan cannot be read", shown(path), error.strerror or "", "check the file's name")
        raise DgctlError(problem, Exit.USAGE) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        problem = Problem("this file is no plan", shown(path), fix="name one that `dgctl plan --out FILE` wrote")
        raise DgctlError(problem, Exit.USAGE) from error


def require_within(planned: dict[str, dict[str, Any]], plan: Plan) -> None:
    """Raises DgctlError (exit 10) when anything would be done that the file does not hold.

    Less is no problem: what an earlier run of the same plan has done is done.
    """
    problems = [problem for name, host in plan.hosts.items() for problem in _beyond(planned.get(name, {}), name, host)]
    if problems:
        raise DgctlError(problems, Exit.CHANGES)


def _beyond(planned: dict[str, Any], name: str, host: HostPlan) -> list[Problem]:
    found = []
    for step in host.steps:
        known = planned.get(step.role)
        if known is None:
            cause = step.reasons[0]
            what = f"{step.role} is to run now, and is not in the plan"
            found.append(Problem(what, name, f"{cause.kind} {cause.subject} {cause.now}".strip(), _AGAIN))
        elif known.get("fingerprint") != step.fingerprint:
            what = f"{step.role} is to become something else than when the plan was made"
            found.append(Problem(what, name, "its variables or the role itself changed", _AGAIN))
        else:
            reasons = [reason for reason in step.reasons if reason.kind != Kind.UNFINISHED]
            more = [reason for reason in reasons if reason.as_dict() not in known.get("reasons", [])]
            found += [
                Problem(
                    f"{step.role} has a reason to run that is not in the plan", name, f"{r.subject} {r.now}", _AGAIN
                )
                for r in more[:1]
            ]
    return found
