"""Live progress on stderr: on a terminal a table of hosts, in a pipe one line a phase."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What runners tell while they work; every call is cheap and may come from any host in any order."""

    def phase(self, name: str) -> None:
        """A phase begins (a play, or `Verify`)."""

    def host(self, name: str, state: str, note: str = "") -> None:
        """`name` is now in `state` (running, ok, changed, failed, unreachable); `note` is the task or the cause."""
