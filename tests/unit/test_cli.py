"""The command line as a person meets it: a process, its exit code, its two streams."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from dgctl import cli
from dgctl.plan.look import Seen
from dgctl.run.session import Session, main
from dgctl.verbs import provision
from dgctl.verbs.validate import validate
from tests.paths import PROJECT
from tests.unit.called import called
from tests.unit.conftest import write

VERBS = tuple(cli.main.commands)
Dgctl = Callable[..., subprocess.CompletedProcess[str]]


HELP = """
import sys
before = set(sys.modules)  # a distribution's Python has a sitecustomize
from dgctl import cli
sys.argv = ["dgctl", "--help"]
try:
    cli.main()
finally:
    theirs = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
    print("MODULES", len(sys.modules), *sorted(name for name in theirs if not name.startswith("_")))
"""


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], check=True, capture_output=True, text=True)
    count, *theirs = done.stdout.splitlines()[-1].removeprefix("MODULES ").split()
    assert set(theirs) <= {"click", "dgctl"} and int(count) < 250


def test_help_names_every_verb_and_exit_code(dgctl: Dgctl) -> None:
    reported = " ".join(dgctl("--help").stdout.split())
    assert all(verb in reported for verb in VERBS)
    assert all(f"{code} " in reported for code in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    result = CliRunner().invoke(cli.main, [verb, "--help"])
    assert result.exit_code == 0
    assert "--json" in result.output


@pytest.mark.parametrize("words", [["nonsense"], ["validate"], ["validate", "a", "b"], ["status", "x", "--nope"]])
def test_wrong_usage(dgctl: Dgctl, words: list[str]) -> None:
    result = dgctl(*words)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Usage:" in result.stderr


@pytest.mark.parametrize("verb", ["validate", "preflight", "verify", "status"])
def test_a_missing_inventory(dgctl: Dgctl, tmp_path: Path, verb: str) -> None:
    result = dgctl(verb, "nowhere.ini", "--json", cwd=tmp_path)
    document = json.loads(result.stdout)
    assert (result.returncode, document["exit_code"], document["command"]) == (3, 3, verb)
    (error,) = document["errors"]
    assert set(error) == {"what", "where", "value", "fix"}
    assert error["where"] == "nowhere.ini"
    assert list(tmp_path.iterdir()) == []


def test_errors_for_people_go_to_stderr(dgctl: Dgctl, tmp_path: Path) -> None:
    result = dgctl("validate", "nowhere.ini", cwd=tmp_path)
    assert result.returncode == 3
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "error: the inventory does not exist",
        "  where: nowhere.ini",
        "  fix:   check the path, or write one: dgctl init .",
    ]


def test_provision_without_a_terminal_wants_yes(dgctl: Dgctl, folder: Path) -> None:
    result = dgctl("provision", "inventory.ini", "--json")
    assert result.returncode == 2
    assert "--yes" in json.loads(result.stdout)["errors"][0]["fix"]
    assert not (folder / ".dgctl").exists()


def test_a_limit_that_matches_nothing(dgctl: Dgctl, folder: Path) -> None:
    result = dgctl("validate", "inventory.ini", "--limit", "gpu3", "--json")
    document = json.loads(result.stdout)
    assert result.returncode == 2
    assert document["errors"][0]["value"] == "gpu3"
    assert document["errors"][0]["fix"] == "did you mean gpu2?"


@pytest.mark.parametrize(("limit", "hosts"), [("gpu1", ["gpu1"]), ("node:!gpu1", ["gpu2"]), ("gpu*", ["gpu1", "gpu2"])])
def test_a_limit_is_ansibles(root: Path, folder: Path, limit: str, hosts: list[str], capsys: object) -> None:
    assert main(called("validate", Path("inventory.ini"), limit=limit, as_json=True), validate) == 0
    assert list(json.loads(capsys.readouterr().out)["hosts"]) == hosts


@pytest.mark.parametrize("limit", ["gpu1,gpu9", "gpu1:!gpu1", "!gpu9"])
def test_each_part_of_a_limit_must_match(root: Path, folder: Path, limit: str, capsys: object) -> None:
    assert main(called("validate", Path("inventory.ini"), limit=limit), validate) == 2


@pytest.mark.parametrize("limit", ["", ",", " ", "~[", ":", "@hosts.txt", "@gone.txt", "@retired.txt"])
def test_a_limit_that_names_nobody_does_not_mean_everybody(
    root: Path, folder: Path, limit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("hosts.txt").write_text("\n \n")
    Path("retired.txt").write_text("gpu1\ngpu7\n")
    assert main(called("validate", Path("inventory.ini"), limit=limit, as_json=True), validate) == 2
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert error["what"] and error["fix"]
    if limit == "@retired.txt":
        assert error["value"] == "gpu7"


def test_a_limit_in_a_file(root: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("hosts.txt").write_text("gpu2\n\n")
    assert main(called("validate", Path("inventory.ini"), limit="@hosts.txt", as_json=True), validate) == 0
    assert list(json.loads(capsys.readouterr().out)["hosts"]) == ["gpu2"]


def test_a_valid_deployment(root: Path, folder: Path, capsys: object) -> None:
    assert main(called("validate", Path("inventory.ini"), as_json=True), validate) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["command"] == "validate"
    assert document["errors"] == []
    assert document["hosts"]["gpu1"] == {"state": "ok", "changed": 0, "errors": []}
    assert document["seconds"] > 0


def test_lowered_minimums_are_said(root: Path, folder: Path, capsys: object) -> None:
    with Path("group_vars/all/main.yml").open("a") as file:
        file.write("preflight_min_cpu_cores: 2\n")
    main(called("validate", Path("inventory.ini"), limit="gpu1"), validate)
    assert "lowered: preflight_min_cpu_cores is 2 (usual: 4) on gpu1\n" in capsys.readouterr().out


def test_an_unexpected_exception_is_one_line_and_a_log(folder: Path, capsys: object) -> None:
    def broken(session: Session) -> None:
        raise ZeroDivisionError("nobody thought of this")

    assert main(called("validate", Path("inventory.ini")), broken) == 1
    reported = capsys.readouterr()
    assert reported.err.startswith("error: bug in dgctl: ZeroDivisionError\n")
    assert "Traceback" not in reported.err
    log = Path(reported.out.split("log:")[1].split()[0])
    assert "nobody thought of this" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    log.unlink()


def test_ctrl_c_before_anything_runs(folder: Path, capsys: object) -> None:
    def pressed(session: Session) -> None:
        raise KeyboardInterrupt

    assert main(called("validate", Path("inventory.ini"), as_json=True), pressed) == 130
    assert "dgctl validate inventory.ini" in json.loads(capsys.readouterr().out)["errors"][0]["fix"]


def test_a_no_touches_nothing(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.confirm", lambda *words, **options: False)
    play = "- name: Deepgram\n  hosts: node\n  roles: [deepgram]\n"
    write(root / "playbooks" / "provision.yml", play)
    monkeypatch.setattr(
        "dgctl.plan.plan.look", lambda requests, tell: [tell(host.name, Seen()) for host, _ in requests]
    )
    assert main(called("provision", Path("inventory.ini")), provision.provision) == 130
    reported = capsys.readouterr().err
    assert "gpu1, gpu2: 1 role to run" in reported
    assert "not confirmed: nothing was touched" in reported


def test_init_writes_a_deployment_that_validate_finds_unfilled(dgctl: Dgctl, tmp_path: Path) -> None:
    result = dgctl("init", "mine", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "dgctl validate mine/inventory.ini" in result.stdout
    assert (tmp_path / "mine/group_vars/all/vault.yml").stat().st_mode & 0o777 == 0o600
    checked = dgctl("validate", "mine/inventory.ini", "--json", cwd=tmp_path)
    errors = json.loads(checked.stdout)["errors"]
    assert checked.returncode == 3
    assert all("is not filled in" in error["what"] for error in errors), errors
    assert {error["where"].split(":")[0] for error in errors} == {
        "mine/inventory.ini", "mine/group_vars/all/main.yml", "mine/group_vars/all/vault.yml",
    }  # fmt: skip


def test_what_init_wrote_is_valid_once_filled_in(dgctl: Dgctl, tmp_path: Path) -> None:
    dgctl("init", "mine", cwd=tmp_path)
    values = {"inventory.ini": "192.0.2.1", "group_vars/all/main.yml": "https://example.com/nova-3.dg"}
    for name in ("inventory.ini", "group_vars/all/main.yml", "group_vars/all/vault.yml"):
        path = tmp_path / "mine" / name
        path.write_text(path.read_text().replace("CHANGE_ME", values.get(name, "something")))
    checked = dgctl("validate", "mine/inventory.ini", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr


def test_init_overwrites_nothing(dgctl: Dgctl, tmp_path: Path) -> None:
    write(tmp_path / "mine" / "inventory.ini", "precious\n")
    result = dgctl("init", "mine", "--json", cwd=tmp_path)
    assert result.returncode == 2
    assert json.loads(result.stdout)["errors"][0]["value"] == "inventory.ini"
    assert (tmp_path / "mine" / "inventory.ini").read_text() == "precious\n"
    assert len(list((tmp_path / "mine").iterdir())) == 1


def test_init_into_a_file(dgctl: Dgctl, tmp_path: Path) -> None:
    write(tmp_path / "mine", "a file\n")
    assert dgctl("init", "mine", cwd=tmp_path).returncode == 2


def test_what_was_imported_is_collected_no_more() -> None:
    """In a process of its own: a collection is on again, and does not walk through what the imports made."""
    text = (
        "import atexit, gc, sys; sys.argv = ['dgctl', 'validate', 'inventories/example/inventory.ini']\n"
        "atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 10_000))\n"
        "from dgctl.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", text], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "True True", done.stdout + done.stderr
