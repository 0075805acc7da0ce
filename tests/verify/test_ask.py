"""Several questions in one command, on this machine instead of a server."""

import sys

import pytest
from testinfra.host import Host

from dgctl.base.ssh import Route
from dgctl.verify import ask as asking
from dgctl.verify.ask import ask
from dgctl.verify.connection import Connection


@pytest.fixture
def host():
    backend = Connection("here", Route("127.0.0.1"), {})
    backend.set_host(Host(backend))
    return backend._host


def test_answers_with_status_output_and_complaint(host):
    answers = ask(
        host,
        {
            "fine": "printf 'a  b\\n\\n%s\\n' \"it's\"",
            "bad": "echo out; echo no such thing >&2; exit 3",
            "absent": "/no/such/program",
            "json": "echo '{\"a\": [1]}'",
            "umlaut": "printf '\\303\\274'",
        },
    )
    assert answers["fine"].lines == ["a  b", "it's"]
    assert (answers["bad"].rc, answers["bad"].text, str(answers["bad"])) == (3, "", "no such thing (exit 3)")
    assert answers["absent"].rc == 127
    assert answers["json"].json() == {"a": [1]} and answers["fine"].json() is None
    assert answers["umlaut"].text == "ü"
    assert host.backend.commands == 1


def test_a_hanging_command_does_not_take_the_others_with_it(host, monkeypatch):
    monkeypatch.setattr(asking, "QUESTION_LIMIT_S", 1)
    answers = ask(host, {"hangs": "sleep 60", "after": "echo here"})
    assert (answers["hangs"].rc, answers["after"].text) == (124, "here")


def test_a_command_cannot_eat_the_input_of_the_next(host):
    assert ask(host, {"eats": "cat", "after": "echo here"})["after"].text == "here"


def test_fetch_reads_a_page_and_says_why_not(host, tmp_path):
    page = tmp_path / "page"
    page.write_text("a page")
    answers = ask(host, {"page": f"fetch file://{page}", "refused": "fetch http://127.0.0.1:1/"})
    assert answers["page"].text == "a page"
    assert not answers["refused"].ok and "127.0.0.1" in str(answers["refused"])


def test_fetch_without_curl_uses_python(host, tmp_path, monkeypatch):
    page, tools = tmp_path / "page", tmp_path / "bin"
    page.write_text("a page")
    tools.mkdir()
    (tools / "python3").symlink_to(sys.executable)
    answers = ask(host, {"page": f"PATH={tools}; fetch file://{page}", "bad": f"PATH={tools}; fetch file:///no/such"})
    assert answers["page"].text == "a page"
    assert "No such file" in str(answers["bad"])


def test_no_answer_at_all_is_an_answer(host, monkeypatch):
    monkeypatch.setattr(asking, "_SCRIPT", "echo broken >&2; exit 7 # %(limit)d %(fetch)s\n")
    assert str(ask(host, {"x": "true"})["x"]) == "broken (exit 7)"
