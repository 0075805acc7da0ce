"""What a check says: what was seen, what was expected, and what to do when the two do not agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Said of a check by pytest.skip, it leaves the check out of what is told: there is nothing on this host to look at.
NO_CONCERN = "does not concern this host"


class Unmet(Exception):
    """An expectation that is not met. A fixture raises it where all the checks that need it cannot be made."""

    def __init__(self, seen: Any, expected: Any, fix: str):
        self.reported = {"seen": text(seen), "expected": text(expected), "fix": fix}
        super().__init__(f"seen: {self.reported['seen']}; expected: {self.reported['expected']}")


class Expect:
    """`expect(seen, expected, fix)`: records both sides whether or not they agree."""

    def __init__(self, record: Callable[[str, object], None]):
        self.record, self.called = record, False

    def __call__(self, seen: Any, expected: Any, fix: str, ok: bool | None = None) -> None:
        """Raises Unmet unless `ok`, which is seen == expected where not given.

        `fix`: the command to give or the file to look at.
        """
        self.called = True
        if not (seen == expected if ok is None else ok):
            raise Unmet(seen, expected, fix)
        self.record("seen", text(seen))
        self.record("expected", text(expected))


def text(value: Any) -> str:
    """A value as a person reads it, on one line."""
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return ", ".join(text(item) for item in items) or "none"
    if value is None or value == "":
        return "none"
    return " ".join(str(value).split())
