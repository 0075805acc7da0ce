"""`keys`: who may call the proxies. Edits one file of the deployment; `provision` takes it to the servers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.base.words import count
from dgctl.deployment import callers
from dgctl.output.report import Outcome
from dgctl.run import options as common
from dgctl.run.session import Session


@dataclass(frozen=True, kw_only=True)
class Options(common.Options):
    action: str = ""
    name: str = ""


def keys(session: Session[Options]) -> Outcome:
    if not session.inventory.exists():
        fix = "give the path of the inventory file; dgctl init DIR writes a new one"
        raise DgctlError(Problem("there is no such inventory", shown(session.inventory), fix=fix), Exit.USAGE)
    return {"add": _add, "list": _list, "revoke": _revoke}[session.options.action](session)


def _name(session: Session[Options]) -> str:
    name = session.options.name
    if not callers.NAME.match(name) or name == callers.OWN:
        what = (
            "a caller's name is one word of letters, digits, dot, -, _ and @"
            if name != callers.OWN
            else "this name is the proxy's own"
        )
        fix = f"name the caller: dgctl keys {shown(session.inventory)} {session.options.action} NAME"
        raise DgctlError(Problem(what, value=name, fix=fix), Exit.USAGE)
    return name


def _add(session: Session[Options]) -> Outcome:
    name = _name(session)
    key = callers.add(session.inventory, name)
    return Outcome(
        keys=[{"name": name, "added": datetime.now(UTC).date().isoformat(), "key": key}],
        text=[key, f"The key of {name}. It is shown this once and stored nowhere: hand it over now."],
        summary=f"added to {shown(callers.path(session.inventory))}; it counts once the proxies have it",
        next_command=session.again("provision"),
    )


def _revoke(session: Session[Options]) -> Outcome:
    name = _name(session)
    callers.revoke(session.inventory, name)
    return Outcome(
        keys=[{"name": name}],
        summary=f"{name} revoked in {shown(callers.path(session.inventory))}; refused once the proxies know; streams go on",
        next_command=session.again("provision"),
    )


def _list(session: Session[Options]) -> Outcome:
    if session.options.name:
        raise DgctlError(
            Problem("list takes no name", value=session.options.name, fix="leave the name out"), Exit.USAGE
        )
    file = callers.path(session.inventory)
    found = callers.read(file)[callers.VARIABLE]
    rows = [
        {"name": name, "added": str(key.get("added") or ""), "sha256": key["sha256"]}
        for name, key in sorted(found.items())
    ]
    text = [f"{row['name']:<24} {row['added'] or 'unknown':<12} {_age(row['added'])}".rstrip() for row in rows]
    return Outcome(keys=rows, text=text, summary=f"{count(len(rows), 'key')} in {shown(file)}")


def _age(day: str) -> str:
    try:
        days = (datetime.now(UTC).date() - date.fromisoformat(day)).days
    except ValueError:
        return ""
    return f"{count(days, 'day')} old"
