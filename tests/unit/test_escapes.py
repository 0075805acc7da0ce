"""What servers say, as a terminal would obey it: OSC 52 writes into the clipboard, others hide lines or answer for the person."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from dgctl.base.errors import Problem
from dgctl.output.report import HostState, Outcome, print_errors, print_outcome
from dgctl.plan import look
from dgctl.run import confirm
from dgctl.run.work import Work
from tests.unit.called import called
from tests.unit.verbs.test_confirmations import Terminal

OSC52 = "\x1b]52;c;cm0gLXJmIC8=\x07"
EVIL = [OSC52, "\x1b[2J", "\x9d52;c;eA==\x9c", "a\rb", "\u202eevil"]
OBEYED = set("\x1b\x07\x9b\x9c\x9d\u202e\r")


@pytest.mark.parametrize("text", EVIL)
def test_nothing_that_a_terminal_obeys_is_shown(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    confirm.confirm(called("upgrade", Path("inventory.ini")), [f"drifted: {text}"], f"Change {text}?")
    work = Work(SimpleNamespace(seconds=1.0), None, None)  # type: ignore[arg-type]
    work.tell(f"from the server: {text}")
    problem = Problem(text, text, text, text)
    host = HostState("failed", errors=[problem], status={"parts": {text: text}})
    outcome = Outcome(errors=[problem], hosts={"gpu1": host}, hints=[problem], text=[text], summary=text)
    print_outcome(outcome, 1.0, Console(force_terminal=False, width=200))
    print_errors([problem], Console(stderr=True, width=200))
    shown = "".join(capsys.readouterr())
    assert not OBEYED & set(shown) and len(shown) > 200


def answer(stdout: bytes) -> look.Seen:
    done: subprocess.CompletedProcess[bytes] = subprocess.CompletedProcess([], 0, stdout, b"")
    host: Any = SimpleNamespace(name="gpu1", address="192.0.2.11", vars={})
    return look._read(host, done, look.ssh.Route("192.0.2.11"))


@pytest.mark.parametrize(
    "reported", ["{", "[]", "null", "7", '{"roles": []}', '{"reports": "x"}', '{"seconds": "soon"}', "[" * 100_000]
)
def test_an_answer_of_another_shape_is_that_server_s_error_alone(reported: str) -> None:
    seen = answer(f"{look._MARK}{reported}\n".encode())
    assert seen.problem and seen.problem.where == "gpu1" and seen.problem.fix


def test_a_good_answer_is_taken() -> None:
    seen = answer(f'{look._MARK}{{"roles": {{"a": {{}}}}, "seconds": 1}}\n'.encode())
    assert not seen.problem and seen.roles == {"a": {}}
