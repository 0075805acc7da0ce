"""The modules checked_files and unit_running."""

import grp
import os
import stat
import time
from types import SimpleNamespace

import pytest
from ansible.module_utils.host import systemd, units

from tests.roles_app.conftest import load

FILES, UNITS = load("modules", "checked_files"), load("modules", "unit_running")


class Failed(Exception):
    pass


def called(module, monkeypatch, check_mode=False, **params):
    """What the module ends with; Failed where it fails."""

    def fail_json(msg, **_more):
        raise Failed(msg)

    def make(argument_spec, **_more):
        usual = {name: spec.get("default") for name, spec in argument_spec.items()}
        return SimpleNamespace(
            params=usual | params, check_mode=check_mode, fail_json=fail_json, exit_json=ended.update
        )

    ended = {}
    monkeypatch.setattr(module, "AnsibleModule", make)
    module.main()
    return ended


def files(tmp_path, text="good", **more):
    entry = {"path": str(tmp_path / "etc/a.yml"), "content": text, "mode": "0644"}
    secret = {"path": str(tmp_path / "etc/s.json"), "content": '{"p":"s3cr3t"}', "mode": "0600"}
    check = ["grep", "-q", "good", str(tmp_path / "etc/a.yml")]
    return {"root": str(tmp_path / "etc"), "files": [entry], "secrets": [secret], "check": check, **more}


def test_files_that_are_found_good_are_put_in_place(monkeypatch, tmp_path):
    done = called(FILES, monkeypatch, **files(tmp_path))
    path, secret = tmp_path / "etc/a.yml", tmp_path / "etc/s.json"
    assert done["changed"] and done["paths"] == [str(path), str(secret)] and path.read_text() == "good"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600 and secret.read_text() == '{"p":"s3cr3t"}\n'
    assert "s3cr3t" not in str(done)
    assert called(FILES, monkeypatch, **files(tmp_path)) == {"changed": False, "paths": [], "diff": []}


def test_a_secret_for_a_group(monkeypatch, tmp_path):
    group = grp.getgrgid(1).gr_name
    given = files(tmp_path)
    given["secrets"][0] |= {"mode": "0640", "group": group}
    assert called(FILES, monkeypatch, **given)["changed"]
    status = (tmp_path / "etc/s.json").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o640, 1)
    assert not called(FILES, monkeypatch, **given)["changed"]
    given["secrets"][0]["group"] = "no-such-group"
    assert called(FILES, monkeypatch, check_mode=True, **given)["changed"], "the package that makes it is to come"
    with pytest.raises(Failed, match="there is no group no-such-group"):
        called(FILES, monkeypatch, **given)


def test_files_that_are_refused_change_nothing(monkeypatch, tmp_path):
    called(FILES, monkeypatch, **files(tmp_path))
    with pytest.raises(Failed, match=r"refuses the files: .* Fix: .*nothing was changed"):
        called(FILES, monkeypatch, **files(tmp_path, "bad"))
    assert (tmp_path / "etc/a.yml").read_text() == "good"


def test_the_check_sees_the_other_files_of_the_directory(monkeypatch, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/other").write_text("there")
    check = ["grep", "-q", "there", str(tmp_path / "etc/other")]
    assert called(FILES, monkeypatch, **files(tmp_path, check=check))["changed"]


def test_a_program_that_is_not_installed_yet_checks_nothing(monkeypatch, tmp_path):
    assert called(FILES, monkeypatch, **files(tmp_path, check=["no-such-program"]))["changed"]


def test_check_mode_writes_nothing(monkeypatch, tmp_path):
    assert called(FILES, monkeypatch, check_mode=True, **files(tmp_path))["changed"]
    assert not (tmp_path / "etc").exists()


class Systemd:
    """Answers as systemctl does for one unit."""

    def __init__(self, monkeypatch, answers=True, **state):
        self.state = {
            "LoadState": "loaded",
            "ActiveState": "active",
            "UnitFileState": "enabled",
            "MainPID": "7",
        } | state
        self.did, self.starts = [], True
        for module in (UNITS, systemd):
            monkeypatch.setattr(module, "run", self.run)
        monkeypatch.setattr(units, "started", lambda pid: time.time() - 100)
        monkeypatch.setattr(UNITS, "get", lambda url, timeout: ("", "") if answers else (None, "refused"))
        monkeypatch.setattr(UNITS, "PAUSE_S", 0.01)

    def run(self, words, timeout=60):
        if words[:2] == ("systemctl", "show"):
            return 0, "".join(f"{key}={value}\n" for key, value in self.state.items()), ""
        if words[0] == "journalctl":
            return 0, "err: address already in use\n", ""
        self.did.append(words[1])
        if words[1] == "restart" and self.starts:
            self.state |= {"ActiveState": "active"}
        if words[1] == "enable":
            self.state |= {"UnitFileState": "enabled"}
        return 0, "", ""


ALL = ["daemon-reload", "reset-failed", "enable", "restart"]


@pytest.mark.parametrize(
    ("state", "did"),
    [
        ({}, []),
        ({"ActiveState": "failed"}, ALL),
        ({"UnitFileState": "disabled"}, ALL),
        ({"NeedDaemonReload": "yes"}, ALL),
    ],
)
def test_a_unit_is_restarted_where_that_is_needed(monkeypatch, state, did):
    systemd = Systemd(monkeypatch, **state)
    assert called(UNITS, monkeypatch, check_mode=True, unit="x.service", reads=[])["changed"] is bool(did)
    assert systemd.did == []
    assert called(UNITS, monkeypatch, unit="x.service", reads=[], answers="http://x")["changed"] is bool(did)
    assert systemd.did == did


def test_a_file_that_is_newer_than_the_process(monkeypatch, tmp_path):
    systemd, path = Systemd(monkeypatch), tmp_path / "x.yml"
    path.touch()
    assert called(UNITS, monkeypatch, unit="x.service", reads=[str(path)])["changed"] and "restart" in systemd.did
    os.utime(path, (time.time() - 200,) * 2)
    assert not called(UNITS, monkeypatch, unit="x.service", reads=[str(path)])["changed"]


def test_a_unit_that_does_not_stay_up(monkeypatch):
    Systemd(monkeypatch, ActiveState="failed").starts = False
    with pytest.raises(
        Failed, match=r"does not stay up: err: address already in use. Fix: see `journalctl -u x.service`"
    ):
        called(UNITS, monkeypatch, unit="x.service", reads=[], timeout_s=0)


def test_a_unit_that_does_not_answer(monkeypatch):
    Systemd(monkeypatch, answers=False)
    with pytest.raises(Failed, match="http://x does not answer: refused"):
        called(UNITS, monkeypatch, unit="x.service", reads=[], answers="http://x", timeout_s=0)


def test_a_unit_that_is_not_wanted(monkeypatch):
    systemd = Systemd(monkeypatch)
    assert called(UNITS, monkeypatch, unit="x.service", state="absent")["changed"] and "disable" in systemd.did
    Systemd(monkeypatch, ActiveState="inactive", UnitFileState="", LoadState="not-found")
    assert not called(UNITS, monkeypatch, unit="x.service", state="absent")["changed"]
