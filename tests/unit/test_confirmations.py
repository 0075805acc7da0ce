"""What asks before it changes servers: only a yes goes on, and without anybody to ask nothing is touched."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from dgctl import releasing, removing, verbs
from dgctl.errors import DgctlError, Exit
from dgctl.plan import Plan
from dgctl.rollout import Rollout
from dgctl.session import Session
from tests.plan.test_rollout import FLEET, change, deployment, plan
from tests.unit.local_hosts import do, looks, ran


class Terminal(io.StringIO):
    """A person who types this."""

    def isatty(self) -> bool:
        return True


def the_plan() -> Plan:
    return plan({"lb": change()}, deployment(**FLEET))


def upgrade() -> None:
    releasing.confirm(Session("upgrade", Path("inventory.ini")), ["what would happen"], "Upgrade 4 servers?")


def remove() -> None:
    removing._confirm(["gpu2"], the_plan())


def provision() -> None:
    verbs._confirm(the_plan(), Rollout())


ASKING = pytest.mark.parametrize(
    ("ask", "shown"),
    [
        (upgrade, ["what would happen", "Upgrade 4 servers?"]),
        (remove, ["gpu2: drained, stopped, and taken out of the inventory", "lb: told that", "Remove 1 server?"]),
        (provision, ["lb", "Provision 1 server?"]),
    ],
)


@ASKING
@pytest.mark.parametrize("answer", ["n\n", "\n", "N\n", "q\nno\n"])
def test_all_but_a_yes_ends_it(
    ask: Callable[[], None],
    shown: list[str],
    answer: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    with pytest.raises(DgctlError) as error:
        ask()
    assert error.value.exit_code == Exit.INTERRUPTED
    assert error.value.problems[0].what == "not confirmed: nothing was touched" and error.value.problems[0].fix
    out, err = capsys.readouterr()
    assert all(words in err for words in shown) and "Error" not in out


@ASKING
def test_a_yes_goes_on(ask: Callable[[], None], shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in ("y\n", "yes\n"):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        ask()


@pytest.mark.parametrize("ask", [upgrade, remove])
def test_nobody_to_ask_is_no_yes(ask: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(DgctlError) as error:
        ask()
    assert error.value.exit_code == Exit.USAGE and error.value.problems[0].fix == "add --yes"


def test_with_yes_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    releasing.confirm(Session("upgrade", Path("inventory.ini"), yes=True), [], "Upgrade?")


def test_a_removal_that_nobody_else_hears_of_says_only_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    removing._confirm(["gpu1", "gpu2"], plan({}, deployment(**FLEET)))
    assert "told" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stdin", "code"), [(Terminal("n\n"), Exit.INTERRUPTED), (io.StringIO("y\n"), Exit.USAGE)], ids=["no", "nobody"]
)
def test_provision_touches_nothing_before_a_yes(
    here: Path, stdin: io.StringIO, code: Exit, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, b={"deepgram": "drifted"})
    monkeypatch.setattr("dgctl.playbook.run", lambda job: pytest.fail("Ansible ran"))
    monkeypatch.setattr("sys.stdin", stdin)
    assert do(capsys, verbs.provision)["exit_code"] == code


def test_provision_goes_on_after_a_yes(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, b={"deepgram": "drifted"})
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert do(capsys, verbs.provision)["exit_code"] == Exit.OK
    assert ran() == {("b", "deepgram")}
