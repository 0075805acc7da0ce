"""Run records: `.dgctl/runs/<utc>-<verb>/` beside the inventory, for their owner alone, without secrets."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dgctl.base import json_text
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown

MASK = "********"
TIMINGS = "timings.json"
LATELY, LOOKED_AT = 5, 200  # runs of a role that an estimate is made from, and runs of all that are looked at


class Redactor:
    """Takes the deployment's secrets out of text, should a task print one in spite of no_log."""

    def __init__(self, secrets: set[str]):
        # Longest first, so that a secret that begins with another does not leave its rest.
        self._secrets = sorted({form for secret in secrets - {""} for form in _forms(secret)}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def _forms(secret: str) -> set[str]:
    """As it is, and as JSON and Python write it: Ansible's words are full of both, and a quote or an umlaut differs."""
    found = {secret}
    for _ in range(2):  # JSON within JSON: a module's output, shown in a result
        found |= {
            text[1:-1]
            for each in found
            for text in (json.dumps(each), json.dumps(each, ensure_ascii=False), repr(each))
        }
    return found


def folder(inventory: Path) -> Path:
    """The folder `.dgctl` beside the inventory, made (0700) when missing; raises DgctlError."""
    path = inventory.absolute().parent / ".dgctl"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        ignore = path / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        fix = "run as a user who may write there, or copy the deployment's folder"
        raise DgctlError(
            Problem("the run record cannot be written", shown(path), error.strerror or "", fix), Exit.INVALID
        ) from error
    return path


def rollback(inventory: Path) -> Path:
    """Where a rollback on its way is noted."""
    return folder(inventory) / "rollback.json"


def forget_rollback(inventory: Path) -> None:
    """What is changed now is no more what a rollback left; the next one starts again."""
    rollback(inventory).unlink(missing_ok=True)


class Record:
    """One run's files: events.jsonl (one line an event), ansible.log (Ansible's words), result.json."""

    def __init__(self, inventory: Path, verb: str, redact: Redactor):
        self.redact = redact
        self.path = _new(folder(inventory) / "runs", verb)
        self.log_path = self.path / "ansible.log"
        self._log = _private(self.log_path)
        self._events = _private(self.path / "events.jsonl")

    def log(self, text: str) -> str:
        """Appends Ansible's output; returns it as written, without secrets."""
        clean = self.redact(text)
        self._log.write(clean)
        self._log.flush()
        return clean

    def event(self, entry: dict[str, Any]) -> None:
        self._events.write(self.redact(json.dumps(entry, ensure_ascii=False)) + "\n")
        self._events.flush()

    def result(self, document: dict[str, Any]) -> None:
        with _private(self.path / "result.json") as file:
            file.writelines(map(self.redact, json_text.pieces(document)))

    def timings(self, timings: dict[str, Any]) -> None:
        """Keeps what the next plan estimates from."""
        with _private(self.path / TIMINGS) as file:
            json.dump(timings, file)

    def close(self) -> None:
        self._log.close()
        self._events.close()


def lately(inventory: Path) -> dict[str, float]:
    """Role -> the seconds that it took a server, the middle one of its last runs; nothing for one that never ran."""
    found: dict[str, list[float]] = {}
    for path in sorted((folder(inventory) / "runs").glob(f"*/{TIMINGS}"), reverse=True)[:LOOKED_AT]:
        with contextlib.suppress(ValueError):  # a run that was killed may have left half a file
            for role, seconds in json.loads(path.read_text()).get("roles", {}).items():
                found.setdefault(role, []).append(seconds)
    return {role: statistics.median(seconds[:LATELY]) for role, seconds in found.items()}


def _new(runs: Path, verb: str) -> Path:
    """A new folder named for this second and verb; runs that begin in one second get a number."""
    runs.mkdir(mode=0o700, exist_ok=True)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{verb}"
    for number in range(1, 100):
        path = runs / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(mode=0o700)
            return path
        except FileExistsError:
            continue
    raise RuntimeError(f"a hundred runs began within one second in {runs}")


def _private(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", encoding="utf-8")
