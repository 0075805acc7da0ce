"""What `verify` and the preflight find, on its way into the exit code and the document."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgctl.verbs import preflight, verify
from tests.unit.conftest import write
from tests.unit.local_hosts import PREFLIGHT, do, verdict

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize(
    ("word", "check", "code", "state"),
    [
        ("pass", "transcription.file", 0, "ok"),
        ("skip", "transcription.file", 8, "failed"),
        ("fail", "gpu", 8, "failed"),
        ("fail", "reachable", 7, "unreachable"),
    ],
)
def test_verify(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, word: str, check: str, code: int, state: str
) -> None:
    verdict(monkeypatch, word, check)
    document = do(capsys, verify.verify)
    assert document["exit_code"] == code
    assert document["hosts"]["a"]["state"] == state
    assert {(each["host"], each["verdict"]) for each in document["checks"]} >= {("a", word), ("b", word)}


def test_a_verify_that_looked_at_nothing_proves_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dgctl.verify.run", lambda *words: [])
    assert do(capsys, verify.verify)["exit_code"] == 8


def test_findings_and_lowered_minimums_reach_the_document(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    finding = "{check: memory, verdict: fail, seen: 8 GB, expected: 30 GB, fix: add memory}"
    low = "{name: preflight_min_cpu_cores, value: 2, usual: 4}"
    module = """\
        from ansible.module_utils.basic import AnsibleModule
        module = AnsibleModule({"findings": {"type": "list"}, "lowered": {"type": "list"}})
        module.exit_json(**module.params)
    """
    write(root / "plugins" / "modules" / "look.py", module)
    task = f"    - name: Look\n      look:\n        findings: [{finding}]\n        lowered: [{low}]\n"
    failing = "    - name: Judge\n      ansible.builtin.fail:\n        msg: 'One check failed. Fix: correct it'\n"
    write(root / "playbooks" / "preflight.yml", PREFLIGHT.partition("    - name: Look")[0] + task + failing)
    document = do(capsys, preflight.preflight, limit="a")
    assert document["exit_code"] == 4
    check = {
        "host": "a",
        "check": "memory",
        "verdict": "fail",
        "seen": "8 GB",
        "expected": "30 GB",
        "fix": "add memory",
    }
    assert document["checks"] == [check]
    assert document["lowered"] == [{"host": "a", "name": "preflight_min_cpu_cores", "value": 2, "usual": 4}]
    problem = {"what": "memory (expected 30 GB)", "where": "a", "value": "8 GB", "fix": "add memory"}
    assert document["hosts"]["a"]["errors"] == [problem]
