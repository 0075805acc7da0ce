"""What a run leaves behind: a private record without secrets, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dgctl.verbs import preflight, provision
from tests.unit.local_hosts import do, records

pytestmark = pytest.mark.usefixtures("here")


def test_the_record_is_private_whole_and_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    do(capsys, provision.provision, yes=True, limit="a")
    (record,) = records()
    assert record.name.endswith("-provision")
    assert {path.name for path in record.iterdir()} == {"events.jsonl", "ansible.log", "result.json", "timings.json"}
    for path in [Path(".dgctl"), Path(".dgctl/runs"), record]:
        assert path.stat().st_mode & 0o777 == 0o700
    for path in record.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert "key-of-the-unit-tests" not in path.read_text()
    assert "the key is ********" in (record / "ansible.log").read_text()
    lines = [json.loads(line) for line in (record / "events.jsonl").read_text().splitlines()]
    written = next(line for line in lines if line.get("task") == "Write a file" and line.get("host") == "a")
    assert written["changed"] is True
    assert written["path"].endswith("roles/deepgram/tasks/main.yml:1")


def test_nothing_is_left_in_the_temporary_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    do(capsys, preflight.preflight)
    assert list(scratch.iterdir()) == []
