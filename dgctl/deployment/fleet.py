"""The servers behind the proxies, as the proxies themselves see them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dgctl.deployment.deployment import PROXIES, SERVING, Deployment

UP, DRAINED = "up", "drained"
OPERATOR = "operator"  # why a server is drained: a person wants it so; dgctl does not put it back by itself
ROLLOUT = "rollout"  # while a run changes it; a run that was killed left it so
FAILED = "failed"  # a run could not make it work


@dataclass
class Member:
    """One server by name: `states` is proxy -> up, down or drained; `reason` and `note` say why it is drained."""

    name: str
    states: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    note: str = ""

    @property
    def drained(self) -> bool:
        return DRAINED in self.states.values()

    @property
    def serves(self) -> bool:
        """Whether some proxy may send it requests."""
        return any(state != DRAINED for state in self.states.values())

    @property
    def is_up(self) -> bool:
        """Whether every proxy that may send it requests finds that it answers."""
        return self.serves and not {*self.states.values()} - {UP, DRAINED}

    @property
    def retained_out(self) -> bool:
        """Whether it is to stay out after it was changed."""
        return self.drained and self.reason == OPERATOR


def members(reports: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Member]:
    """Name -> Member, from (proxy, {file: what it holds}) of every proxy."""
    found: dict[str, Member] = {}
    for proxy, files in reports:
        for reported in files.values():
            for name, state in ((reported or {}).get("members") or {}).items():
                member = found.setdefault(name, Member(name))
                member.states[proxy] = str(state.get("state"))
                if member.states[proxy] == DRAINED:
                    member.reason, member.note = str(state.get("reason") or ""), str(state.get("note") or "")
    return found


def behind_proxies(deployment: Deployment) -> list[str]:
    """The servers that answer callers through proxies."""
    return deployment.members(*SERVING) if deployment.members(PROXIES) else []
