"""The drop-in of the persistence daemon."""

import os

import nvidia_persistence
import pytest
from ansible.module_utils.host import systemd

UNIT = "[Service]\nType=forking\nExecStart=/usr/bin/nvidia-persistenced --user nvpd --no-persistence-mode --verbose\n"


def test_drop_in_keeps_the_packaged_command():
    text = nvidia_persistence.drop_in(UNIT, True)
    assert text.endswith(
        "ExecStart=\nExecStart=/usr/bin/nvidia-persistenced --user nvpd --persistence-mode --verbose\n"
    )
    assert nvidia_persistence.drop_in(UNIT, False) == ""
    assert nvidia_persistence.drop_in(UNIT.replace("--no-persistence-mode ", ""), True) == ""


def test_drop_in_is_written_and_taken_away(tmp_path):
    path = str(tmp_path / "x.service.d/50.conf")
    text = nvidia_persistence.drop_in(UNIT, True)
    assert [nvidia_persistence.write(text, path) for _ in range(2)] == [True, False]
    os.chmod(path, 0o601)
    assert [nvidia_persistence.write(text, path) for _ in range(2)] == [True, False]
    assert [nvidia_persistence.write("", path) for _ in range(2)] == [True, False]


class Daemon:
    """A host with the packaged unit; GPUs keep the mode that the daemon was last started with, unless `dead`."""

    def __init__(self, monkeypatch, tmp_path, active="active", enabled="enabled", mode="Enabled", reload="no"):
        self.fragment, self.drop_in = tmp_path / "nvidia-persistenced.service", tmp_path / "x.service.d/50.conf"
        self.fragment.write_text(UNIT)
        self.state = {"FragmentPath": str(self.fragment), "ActiveState": active, "UnitFileState": enabled}
        self.state["NeedDaemonReload"] = reload
        self.mode, self.dead, self.refuses, self.did = mode, False, "", []
        monkeypatch.setattr(nvidia_persistence, "DROP_IN", str(self.drop_in))
        monkeypatch.setattr(nvidia_persistence.write, "__defaults__", (str(self.drop_in),))
        monkeypatch.setattr(systemd, "run", self.run)
        cards = [{"pci.bus_id": "3B:00.0"}, {"pci.bus_id": "4B:00.0"}]
        monkeypatch.setattr(
            nvidia_persistence,
            "smi_gpus",
            lambda: ([{**card, "persistence_mode": self.mode} for card in cards], self.silent),
        )
        self.silent = ""

    def run(self, argv, timeout=0):
        if argv[:2] == ("systemctl", "show"):
            asked = argv[2].partition("=")[2].split(",")
            return 0, "".join(f"{name}={self.state[name]}\n" for name in asked), ""
        if argv[0] == "journalctl":
            return 0, "", ""
        self.did.append(argv[1])
        if argv[1] == self.refuses:
            return 1, "", "Job for nvidia-persistenced.service failed.\n"
        if argv[1] == "restart" and not self.dead:
            self.mode = "Enabled" if self.drop_in.exists() else "Disabled"
            self.state["ActiveState"] = "active"
        self.state["UnitFileState"] = "enabled" if argv[1] == "enable" else self.state["UnitFileState"]
        return 0, "", ""

    def right(self):
        """As the module leaves it."""
        nvidia_persistence.write(nvidia_persistence.drop_in(UNIT, True), str(self.drop_in))
        return self


@pytest.fixture
def daemon(monkeypatch, tmp_path):
    return lambda **state: Daemon(monkeypatch, tmp_path, **state)


def test_a_daemon_as_packaged_is_started_with_persistence(daemon, call):
    host = daemon(active="inactive", enabled="disabled", mode="Disabled")
    assert call("nvidia_persistence", check=True)["changed"] and host.did == [] and not host.drop_in.exists()
    result = call("nvidia_persistence")
    assert result["changed"] and result["modes"] == {"3B:00.0": "Enabled", "4B:00.0": "Enabled"}
    assert host.did == ["daemon-reload", "enable", "restart"] and result["drop_in"] == str(host.drop_in)
    assert result["unit"] == ["active", "enabled"]
    host.did.clear()
    assert not call("nvidia_persistence")["changed"] and host.did == []
    assert not call("nvidia_persistence", check=True)["changed"]


@pytest.mark.parametrize(
    ("state", "did"),
    [
        ({}, []),
        ({"enabled": "static"}, []),
        ({"mode": "Disabled"}, ["restart"]),
        ({"active": "failed"}, ["restart"]),
        ({"enabled": "disabled"}, ["enable", "restart"]),
        ({"reload": "yes"}, ["daemon-reload"]),
    ],
)
def test_what_is_not_right_is_mended_and_nothing_else(daemon, call, state, did):
    host = daemon(**state).right()
    assert call("nvidia_persistence")["changed"] is ("restart" in did) and host.did == did and host.mode == "Enabled"


@pytest.mark.parametrize(("state", "due"), [({}, False), ({"active": "failed"}, True)])
def test_check_mode_says_what_would_be_done(daemon, call, state, due):
    host = daemon(**state).right()
    assert call("nvidia_persistence", check=True)["changed"] is due and host.did == []
    host.state["FragmentPath"] = ""
    assert call("nvidia_persistence", check=True)["changed"], "the package is still to be installed"


def test_switched_off_the_drop_in_goes_and_no_mode_is_asked_for(daemon, call):
    host = daemon().right()
    result = call("nvidia_persistence", enabled=False)
    assert result["changed"] and not host.drop_in.exists() and host.did == ["daemon-reload", "restart"]
    assert result["modes"] == {"3B:00.0": "Disabled", "4B:00.0": "Disabled"} and result["drop_in"] == ""
    host.did.clear()
    assert not call("nvidia_persistence", enabled=False)["changed"] and host.did == []


def test_persistence_that_stays_off_is_a_failure(daemon, call):
    host = daemon(mode="Disabled").right()
    host.dead = True
    assert "Persistence mode stays off: " in call("nvidia_persistence")["msg"]


@pytest.mark.parametrize("step", ["daemon-reload", "enable", "restart"])
def test_a_step_of_systemd_that_fails_is_a_failure(daemon, call, step):
    host = daemon(enabled="disabled", active="inactive")
    host.refuses = step
    assert f"systemctl {step}" in (reported := call("nvidia_persistence")["msg"]) and "service failed" in reported
    assert host.did[-1] == step


def test_no_unit_and_a_driver_that_does_not_answer_are_failures(daemon, call):
    host = daemon().right()
    host.silent = "Driver/library version mismatch"
    assert "nvidia-smi does not answer: Driver/library version mismatch" in call("nvidia_persistence")["msg"]
    host.state["FragmentPath"] = ""
    assert "There is no unit nvidia-persistenced.service" in call("nvidia_persistence")["msg"]
