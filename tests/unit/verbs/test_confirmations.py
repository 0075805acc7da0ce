"""What asks before it changes servers: only a yes goes on, and without anybody to ask nothing is touched."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from dgctl.base.errors import DgctlError, Exit
from dgctl.run import confirm
from dgctl.verbs import provision, remove
from tests.plan.test_rollout import FLEET, change, deployment, plan
from tests.unit.called import called
from tests.unit.local_hosts import do, looks, ran


class Terminal(io.StringIO):
    """A person who types this."""

    def isatty(self) -> bool:
        return True


def ask() -> None:
    confirm.confirm(called("upgrade", Path("inventory.ini")), ["what would happen"], "Upgrade 4 servers?")


@pytest.mark.parametrize("answer", ["n\n", "\n", "N\n", "q\nno\n"])
def test_all_but_a_yes_ends_it(
    answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    with pytest.raises(DgctlError) as error:
        ask()
    assert error.value.exit_code == Exit.INTERRUPTED
    assert error.value.problems[0].what == "not confirmed: nothing was touched" and error.value.problems[0].fix
    out, err = capsys.readouterr()
    assert "what would happen" in err and "Upgrade 4 servers?" in err and "Error" not in out


def test_a_yes_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in ("y\n", "yes\n"):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        ask()


def test_nobody_to_ask_is_no_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(DgctlError) as error:
        ask()
    assert error.value.exit_code == Exit.USAGE and error.value.problems[0].fix == "add --yes"


def test_with_yes_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    confirm.confirm(called("upgrade", Path("inventory.ini"), yes=True), [], "Upgrade?")


def test_a_removal_that_nobody_else_hears_of_says_only_that() -> None:
    both = ["gpu1", "gpu2"]
    assert remove.reported(both, plan({}, deployment(**FLEET))) == [
        "gpu1, gpu2: drained, stopped, and removed from the inventory"
    ]
    assert "lb: informed of" in remove.reported(both, plan({"lb": change()}, deployment(**FLEET)))[1]


@pytest.mark.parametrize(
    ("stdin", "code"), [(Terminal("n\n"), Exit.INTERRUPTED), (io.StringIO("y\n"), Exit.USAGE)], ids=["no", "nobody"]
)
def test_provision_touches_nothing_before_a_yes(
    here: Path, stdin: io.StringIO, code: Exit, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, b={"deepgram": "drifted"})
    monkeypatch.setattr("dgctl.run.playbook.run", lambda job: pytest.fail("Ansible ran"))
    monkeypatch.setattr("sys.stdin", stdin)
    assert do(capsys, provision.provision)["exit_code"] == code


def test_provision_goes_on_after_a_yes(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, b={"deepgram": "drifted"})
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert do(capsys, provision.provision)["exit_code"] == Exit.OK
    assert ran() == {("b", "deepgram")}
