"""What of a foreign text is shown."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dgctl.base import display
from dgctl.base.errors import Exit, Problem
from dgctl.output.report import PAGE, Check, HostState, Outcome, print_errors, print_outcome

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.mark.parametrize("text", [KEY, KEY.replace("\n", " "), KEY[:60], f"path: {KEY} x", KEY.replace("OPENSSH ", "")])
def test_no_private_key_is_shown_wherever_it_was_pasted(text: str) -> None:
    for part in ("what", "where", "value", "fix"):
        problem = Problem(**{"what": "x", part: text})
        assert "b3Blbn" not in str(problem) and "c2VjcmV0" not in str(problem)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:password@host/x", "https://***@host/x"),
        ("ask http://token@127.0.0.1:8080/v1, then wait", "ask http://***@127.0.0.1:8080/v1, then wait"),
        ("https://host/@scope/x", "https://host/@scope/x"),
        ("ops@192.0.2.1", "ops@192.0.2.1"),
    ],
)
def test_no_password_of_a_url_is_shown(text: str, shown: str) -> None:
    assert Problem("x", value=text).value == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://models.example.com/a.dg?signature=abc", "https://models.example.com/a.dg?***"),
        ("{'url': 'https://models.example.com/a.dg?signature=abc', 'sha256': 'x'}",
         "{'url': 'https://models.example.com/a.dg?***', 'sha256': 'x'}"),
        ("ftp://models.example.com/a.dg?signature=abc", "ftp://models.example.com/a.dg?***"),
        ("models.example.com/a.dg?signature=abc", "models.example.com/a.dg?***"),
        ("https:/models.example.com/a.dg?X-Sig=abc&b=c", "https:/models.example.com/a.dg?***"),
        ("why? because=so", "why? because=so"),
        ("one\ntwo", "one ..."),
        ("x" * 300, "x" * 200 + " ..."),
        ("short", "short"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_value_is_one_short_line_without_what_opens_a_link(text: str, shown: str) -> None:
    assert display.value(text) == shown


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_printed(text: str) -> None:
    shown = display.printable(text)
    assert not set(shown) & {"\x1b", "\x07", "\x08", "\r", "\x9b", "\u202e"}


def test_an_escape_in_a_value_a_name_or_an_answer_is_written_out() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J"
    out = io.StringIO()
    console = Console(file=out, width=200)
    print_errors([Problem(f"what {evil}", f"gpu1{evil}", evil, evil)], console)
    hosts = {f"gpu1{evil}": HostState("failed", errors=[Problem(evil)])}
    checks = [Check("gpu1", evil, "fail", evil, fix=evil)]
    print_outcome(Outcome(Exit.VERIFY, hosts=hosts, checks=checks, text=[evil], summary="1 server"), 1.0, console)
    assert "\x1b" not in out.getvalue() and "\x07" not in out.getvalue()
    assert out.getvalue().count(r"\x1b[2J") >= 6


def printed(problems: list[Problem], width: int = 200) -> str:
    out = io.StringIO()
    print_errors(problems, Console(file=out, width=width))
    return out.getvalue()


def test_a_thousand_mistakes_are_a_page_and_a_count() -> None:
    found = [Problem(f"no variable is named x{n}", f"inventory.ini:{n}", f"x{n}", "remove it") for n in range(1000)]
    reported = printed(found).splitlines()
    assert len(reported) <= PAGE + 1
    assert reported[-1] == f"1000 errors, of which these are the first {PAGE // 4}: --json has all of them"
    assert len(Outcome(Exit.INVALID, found).document("validate", 1.0)["errors"]) == 1000


def test_what_fits_on_a_page_is_all_there() -> None:
    found = [Problem(f"mistake {n}", fix="mend it") for n in range(PAGE // 2)]
    assert printed(found).count("error:") == PAGE // 2 and "first" not in printed(found)
    assert "error: x" in printed([Problem("x", value="y")] * 1000) and "first" not in printed([Problem("x")] * 1000)


def test_a_narrow_terminal_shows_a_paragraph_a_server() -> None:
    status = {"release": "release-260812", "driver": {"loaded": "580.173.02"}, "gpus": [{"name": "NVIDIA L4"}]}
    hosts = {"gpu1": HostState("ok", status=status), "gpu2": HostState("failed", status={"release": "release-260801"})}
    out = io.StringIO()
    print_outcome(Outcome(hosts=hosts), 1.0, Console(file=out, width=40))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert all(len(line) <= 40 for line in lines)
    assert lines.index("gpu1") < lines.index("  release release-260812") < lines.index("  gpu     NVIDIA L4")
    assert lines.index("gpu2") < lines.index("  state   failed")
