"""What a verb says at its end: checks, tables, and the one JSON document."""

from __future__ import annotations

from dataclasses import asdict, dataclass

PASS, FAIL, SKIP = "pass", "fail", "skip"
# A check of this name that fails means: the host could not be asked anything (exit 7, not 8).
REACHABLE = "reachable"


@dataclass(frozen=True)
class Check:
    """One finding about one host: `verdict` is pass, fail or skip; `fix` is what to do when it fails."""

    host: str
    check: str
    verdict: str
    seen: str = ""
    expected: str = ""
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)
