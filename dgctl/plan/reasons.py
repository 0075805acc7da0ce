"""Why a role is to run on a server: what the look found there, beside what is wanted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dgctl.plan.desired import OTHERS, differences
from dgctl.plan.look import Seen

LONG = 80  # characters of two lists that are shown as they are
VARIABLE = "variable "  # begins the subject of a reason that is about one


class Kind(StrEnum):
    """What kind of reason it is; the first five are also what a look calls a role that is not right."""

    NEW = "new"
    CHANGED = "changed"
    DRIFTED = "drifted"
    UNFINISHED = "unfinished"
    DISTRUSTED = "distrusted"
    FOLLOWS = "follows"
    ASKED = "full"  # --full: the role runs because somebody wants it to


_OF_THE_WHOLE_ROLE = {Kind.FOLLOWS, Kind.NEW, Kind.UNFINISHED, Kind.DISTRUSTED, Kind.ASKED}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a role is to run: `kind`, what it is about, and that thing before and now (texts to show)."""

    kind: str
    subject: str = ""
    before: str = ""
    now: str = ""

    @property
    def cause(self) -> str:
        """What patterns in a role's meta/effects.yml name it by."""
        return "role" if self.kind in _OF_THE_WHOLE_ROLE else self.subject

    @property
    def variable(self) -> str:
        """The variable that a change is about; empty where it is about something else."""
        about_one = self.kind == Kind.CHANGED and self.subject.startswith(VARIABLE)
        return self.subject.removeprefix(VARIABLE).partition(" ")[0] if about_one else ""

    def as_dict(self) -> dict[str, str]:
        found = {"kind": self.kind, "subject": self.subject, "before": self.before, "now": self.now}
        return {key: value for key, value in found.items() if value}


def of_role(name: str, desired: dict[str, Any], seen: Seen, unsettled: list[str]) -> list[Reason]:
    """Why this role is not right on its server; nothing when it is."""
    reported = seen.roles.get(name) or {"state": Kind.DISTRUSTED, "why": seen.doubt or "the look said nothing of it"}
    found = [Reason(Kind.CHANGED, VARIABLE + each, now="only the server's facts tell its value") for each in unsettled]
    if reported["state"] in (Kind.NEW, Kind.UNFINISHED, Kind.DISTRUSTED):
        found.append(Reason(reported["state"], reported.get("why") or ""))
    if reported["state"] == Kind.CHANGED:
        found += _changes(reported.get("applied") or {}, desired)
    found += [Reason(Kind.CHANGED, thing["thing"], now=thing["how"]) for thing in reported.get("asked") or []]
    found += [Reason(Kind.DRIFTED, thing["thing"], now=thing["how"]) for thing in reported.get("drift") or []]
    if reported["state"] != "right" and not found:
        found.append(Reason(Kind.DISTRUSTED, f"the look calls it {reported['state']}, and does not say why"))
    return found


def _changes(applied: dict[str, Any], desired: dict[str, Any]) -> list[Reason]:
    found = [
        Reason(Kind.CHANGED, OTHERS, now="what this role reads of them is another")
        if name == OTHERS
        else Reason(Kind.CHANGED, VARIABLE + name, *_both(before, now))
        for name, before, now in differences(applied, desired)
    ]
    if applied and applied.get("content") != desired["content"]:
        found.append(Reason(Kind.CHANGED, "role", now="it is another than the one that ran here"))
    return found


def _both(before: Any, now: Any) -> tuple[str, str]:
    """A change as texts; of long lists only what came and went."""
    if not (isinstance(before, list) and isinstance(now, list) and len(shown(before) + shown(now)) > LONG):
        return shown(before), shown(now)
    missing = [f"without {shown(item)}" for item in before if item not in now]
    come = [f"with {shown(item)}" for item in now if item not in before]
    return "", ", ".join([*missing, *come]) or "in another order"


def shown(value: Any) -> str:
    """A variable's value as people read it; a secret's is not shown."""
    if isinstance(value, dict) and set(value) == {"secret"}:
        return "(secret)"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:119]}…"
