"""What a run did: tasks from dgctl's run record or Ansible's recap, phases from stderr."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from bench.measure import BenchError

_PHASE = re.compile(r"^\s*(?:\d+h)?(?:\d+m)?\d+s {2}(\S.*)$")
_RECAP = re.compile(r"(?m)^(\S+)\s+: ok=(\d+)\s")


def newest(folder: Path, verb: str = "provision") -> Path:
    """The latest run record of a deployment."""
    found = sorted((folder / ".dgctl/runs").glob(f"*-{verb}*"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        raise BenchError(f"dgctl left no record of a {verb} in {folder}")
    return found[-1]


def tasks(events: Iterable[str]) -> Counter[str]:
    """Executed tasks by host, from the lines of an events.jsonl; skipped ones cost no module and do not count."""
    counted: Counter[str] = Counter()
    for line in events:
        event = json.loads(line)
        if event["event"] == "runner_on_ok":
            counted[event["host"]] += 1
    return counted


def tasks_of_newest(folder: Path) -> Counter[str]:
    path = newest(folder) / "events.jsonl"
    return tasks(path.read_text().splitlines()) if path.exists() else Counter()


def recap(stdout: str) -> Counter[str]:
    """The same from ansible-playbook's last lines."""
    return Counter({host: int(ok) for host, ok in _RECAP.findall(stdout)})


def phases(lines: Iterable[tuple[float, str]]) -> list[tuple[str, float]]:
    """(phase, the second at which it began), from what dgctl says on stderr in a pipe."""
    found = ((at, _PHASE.match(line)) for at, line in lines)
    return [(match.group(1), round(at, 3)) for at, match in found if match]


def verify_started(lines: Iterable[tuple[float, str]], end: float) -> float:
    """When the verification began; the run's end when there was none."""
    return next((at for name, at in phases(lines) if name.startswith("Verify")), end)
