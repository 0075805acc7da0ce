"""The module deepgram_upstreams: it has the program drain and undrain, and its unit run."""

import json
from types import SimpleNamespace

import pytest
from ansible.module_utils.host import systemd, units

from tests.roles_app.conftest import load

from .upstreams import PROGRAM

MODULE = load("modules", "deepgram_upstreams")


def test_the_module_keeps_marks_where_the_program_is_not_there_yet(tmp_path, monkeypatch):
    for name in ("PROGRAM", "CONFIG", "KEPT"):
        monkeypatch.setattr(MODULE, name, str(tmp_path / name))

    def run(state, *names, check_mode=False, reason="rollout"):
        params = {"state": state, "names": list(names), "reason": reason, "note": "why"}
        return MODULE.work(SimpleNamespace(params=params, check_mode=check_mode))

    assert run("drained", "a/b", check_mode=True)["changed"] and run("report")["members"] == {}
    assert run("drained", "a/b")["changed"] and not run("drained", "a/b")["changed"]
    monkeypatch.setattr(PROGRAM.files, "KEPT", str(tmp_path / "KEPT"))
    assert PROGRAM.marks.read()["a/b"]["note"] == "why", "the program reads what the module wrote"
    assert run("report")["members"]["a/b"]["state"] == "drained"
    assert run("undrained", "a/b")["changed"] and not run("undrained", "a/b")["changed"]


class Installed:
    """A proxy with the program, which answers from `members`; what it was told to do is in `did`."""

    def __init__(self, tmp_path, monkeypatch):
        self.members = {"a": {"state": "up"}, "b": {"state": "drained"}}
        self.did, self.status, self.changed = [], 0, True
        for name in ("PROGRAM", "CONFIG"):
            (tmp_path / name).touch()
            monkeypatch.setattr(MODULE, name, str(tmp_path / name))
        monkeypatch.setattr(MODULE, "KEPT", str(tmp_path / "kept"))
        monkeypatch.setattr(MODULE, "run", self.run)

    def run(self, words, timeout=60):
        if self.status:
            return self.status, "", "deepgram-upstreams: nginx refuses its configuration\n"
        if words[1] != "report":
            self.did.append(words[1:])
        answer = {"members": self.members}
        return 0, json.dumps(answer if words[1] == "report" else {**answer, "changed": self.changed}), ""

    def work(self, state, *names, check=False):
        params = {"state": state, "names": list(names), "reason": "rollout", "note": "why"}
        return MODULE.work(SimpleNamespace(params=params, check_mode=check, fail_json=self.fail_json))

    def fail_json(self, **reported):
        raise AssertionError(reported["msg"])


def test_the_module_has_the_program_drain_and_undrain(tmp_path, monkeypatch):
    proxy = Installed(tmp_path, monkeypatch)
    assert proxy.work("drained", "a", "-x") == {"members": proxy.members, "changed": True}
    assert proxy.work("undrained", "b")["changed"]
    assert proxy.did == [["drain", "--reason=rollout", "--note=why", "--", "a", "-x"], ["undrain", "--", "b"]]
    assert not (tmp_path / "kept").exists(), "the program keeps the marks"
    proxy.changed = False
    assert not proxy.work("drained", "b")["changed"]


@pytest.mark.parametrize(
    ("state", "names", "changes"),
    [
        ("report", (), False),
        ("report", ("a",), False),
        ("drained", ("a",), True),
        ("drained", ("a", "b"), True),
        ("drained", ("b",), False),
        ("undrained", ("a",), False),
        ("undrained", ("a", "b"), True),
    ],
)
def test_a_report_and_check_mode_only_ask(tmp_path, monkeypatch, state, names, changes):
    proxy = Installed(tmp_path, monkeypatch)
    assert proxy.work(state, *names, check=True) == {"changed": changes, "members": proxy.members}
    assert proxy.did == []


def test_nobody_is_drained_for_no_name(tmp_path, monkeypatch):
    proxy = Installed(tmp_path, monkeypatch)
    for state in ("drained", "undrained"):
        assert proxy.work(state) == {"changed": False, "members": proxy.members}
    assert proxy.did == []


def test_a_program_that_fails_is_no_drain(tmp_path, monkeypatch):
    proxy = Installed(tmp_path, monkeypatch)
    proxy.status = 1
    with pytest.raises(AssertionError, match="nginx refuses its configuration"):
        proxy.work("drained", "a")


UNIT_PROPERTIES = "ActiveState={active}\nUnitFileState={enabled}\nMainPID=7\nNeedDaemonReload=no\n"


class Watched(Installed):
    """The same with its unit: `older` says that the unit's files were written after it was started."""

    def __init__(self, tmp_path, monkeypatch, enabled="enabled", active="active", older=False):
        super().__init__(tmp_path, monkeypatch)
        self.state, self.refuses, self.stays = {"enabled": enabled, "active": active}, "", True
        monkeypatch.setattr(systemd, "run", self.run)
        monkeypatch.setattr(units, "started", lambda pid: 100.0 if pid == "7" else pytest.fail(pid))
        monkeypatch.setattr(units, "written_after", lambda paths, moment: older and (paths, moment) == (["f"], 100.0))
        monkeypatch.setattr(MODULE.time, "sleep", lambda seconds: None)

    def run(self, words, timeout=60):
        if words[0] == "journalctl":
            return 0, "", ""
        if words[0] != "systemctl":
            return super().run(words, timeout)
        if words[1] == "show":
            return 0, UNIT_PROPERTIES.format(**self.state), ""
        self.did.append(words[1])
        if words[1] == self.refuses:
            return 1, "", "Failed.\n"
        if words[1] == "restart" and self.stays:
            self.state["active"] = "active"
        return 0, "", ""

    def running(self, check=False):
        return MODULE.running(SimpleNamespace(params={"reads": ["f"]}, check_mode=check, fail_json=self.fail_json))


STEPS = ["daemon-reload", "reset-failed", "enable", "restart"]


@pytest.mark.parametrize(
    ("state", "due"),
    [({}, False), ({"enabled": "disabled"}, True), ({"active": "failed"}, True), ({"older": True}, True)],
)
def test_the_unit_is_started_where_it_does_not_run_as_its_files_say(tmp_path, monkeypatch, state, due):
    proxy = Watched(tmp_path, monkeypatch, **state)
    proxy.changed = False
    assert proxy.running(check=True) == {"changed": due, "members": {}} and proxy.did == []
    assert proxy.running() == {"changed": due, "members": proxy.members}
    assert proxy.did == [["render"], *(STEPS if due else [])]
    proxy.changed = True
    assert proxy.running()["changed"], "the list was not up to date"


def test_check_mode_before_the_program_is_there(tmp_path, monkeypatch):
    proxy = Watched(tmp_path, monkeypatch)
    (tmp_path / "PROGRAM").unlink()
    assert proxy.running(check=True)["changed"] and proxy.did == []


@pytest.mark.parametrize(
    ("refuses", "stays", "words"),
    [
        ("restart", True, "systemctl restart deepgram-upstreams.service: Failed"),
        ("enable", True, "systemctl enable deepgram-upstreams.service: Failed"),
        ("", False, "deepgram-upstreams.service does not stay up"),
    ],
)
def test_a_unit_that_does_not_run_is_no_success(tmp_path, monkeypatch, refuses, stays, words):
    proxy = Watched(tmp_path, monkeypatch, active="failed")
    proxy.refuses, proxy.stays = refuses, stays
    with pytest.raises(AssertionError, match=words):
        proxy.running()


def test_a_unit_that_never_failed_needs_no_reset(tmp_path, monkeypatch):
    proxy = Watched(tmp_path, monkeypatch, active="inactive")
    proxy.refuses = "reset-failed"
    assert proxy.running()["changed"] and proxy.did[1:] == STEPS
