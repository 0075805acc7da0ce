"""Fabric Manager: started where it is not, restarted where it is old, proved by what nvidia-smi says of each GPU."""

import os
import time

import nvidia_fabric
import pytest
from ansible.module_utils.host import systemd
from ansible.module_utils.nvidia import fabric

JOINED = "00000000:1B:00.0, Completed, Success\n00000000:43:00.0, Completed, Success"
HALF = "00000000:1B:00.0, Completed, Success\n00000000:43:00.0, In Progress, N/A"
OLD_BOARD = "00000000:1B:00.0, [N/A], [N/A]"


class Host:
    """What systemctl, nv-fabricmanager and nvidia-smi say; `after`: the states that nvidia-smi says in their order."""

    def __init__(
        self, monkeypatch, active="active", enabled="enabled", version="580.173.02", after=(JOINED,), loaded=()
    ):
        self.active, self.enabled, self.version, self.after, self.log = active, enabled, version, list(after), []
        self.started, self.loaded, self.stale = True, set(loaded), "no"
        for module in (fabric, nvidia_fabric, systemd):
            monkeypatch.setattr(module, "run", self.run)
        monkeypatch.setattr(nvidia_fabric, "module_loaded", lambda name: name in self.loaded)
        monkeypatch.setattr(nvidia_fabric.time, "sleep", lambda seconds: None)

    def run(self, argv, timeout=0):
        if argv[:2] == ("systemctl", "show"):
            state = {"ActiveState": self.active, "UnitFileState": self.enabled}
            state["NeedDaemonReload"] = self.stale
            return 0, "\n".join(f"{name}={value}" for name, value in state.items()), ""
        if argv[0] == fabric.PROGRAM:
            return 0, f"Fabric Manager version is : {self.version}\n", ""
        if argv[0] == "nvidia-smi":
            return 0, self.after.pop(0) if len(self.after) > 1 else self.after[0], ""
        if argv[0] == "journalctl":
            return 0, "fabric manager NVIDIA GPU driver interface version 1 don't match with driver version 2\n", ""
        self.log.append(" ".join(argv))
        if argv[:2] == ["systemctl", "restart"]:
            self.active = "active" if self.started else "failed"
        return 0, "", ""


def bring(call, check=False, **arguments):
    return call("nvidia_fabric", check, version="580.173.02", timeout_s=1, **arguments)


def test_all_is_right(call, monkeypatch):
    host = Host(monkeypatch)
    result = bring(call)
    assert not result["changed"] and host.log == [] and result["units"] == {fabric.UNIT: ["active", "enabled"]}
    assert result["states"]["00000000:1B:00.0"] == ["Completed", "Success"]


def test_is_enabled_and_started_and_waits_for_the_gpus(call, monkeypatch):
    host = Host(monkeypatch, active="inactive", enabled="disabled", after=(HALF, HALF, JOINED))
    assert bring(call, loads=["ib_umad"])["changed"]
    unit = fabric.UNIT
    assert host.log == ["modprobe ib_umad", f"systemctl enable {unit}", f"systemctl restart {unit}"]


def test_a_new_drop_in_is_read(call, monkeypatch):
    host = Host(monkeypatch)
    host.stale = "yes"
    assert bring(call)["changed"] and host.log == ["systemctl daemon-reload"]


def test_check_mode_touches_nothing(call, monkeypatch):
    host = Host(monkeypatch, active="inactive", version="")
    assert bring(call, check=True)["changed"] and host.log == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"version": "580.95.05"}, "Fabric Manager is 580.95.05, and the driver 580.173.02"),
        ({"version": "none"}, "Fabric Manager is none"),
        ({"after": (HALF,)}, "GPUs not in the fabric: 00000000:43:00.0 In Progress N/A"),
        ({"after": ("",)}, "GPUs not in the fabric"),
        ({"after": ("No devices were found",)}, "No devices were found"),
    ],
)
def test_fabric_that_does_not_come_up(call, monkeypatch, fault, words):
    ticks = iter(range(100))
    Host(monkeypatch, **fault)
    monkeypatch.setattr(nvidia_fabric.time, "monotonic", lambda: next(ticks))
    result = bring(call)
    assert result["failed"] and words in result["msg"] and "don't match" in result["fix"]


def test_daemon_that_does_not_stay(call, monkeypatch):
    ticks = iter(range(100))
    Host(monkeypatch, active="failed").started = False
    monkeypatch.setattr(nvidia_fabric.time, "monotonic", lambda: next(ticks))
    assert "nvidia-fabricmanager.service is failed" in bring(call)["msg"]


def test_gpus_that_do_not_tell_their_state(call, monkeypatch):
    Host(monkeypatch, after=(OLD_BOARD,))
    assert "failed" not in bring(call, fabric_state=False)


def test_daemon_older_than_its_program(tmp_path):
    program = tmp_path / "nv-fabricmanager"
    program.touch()
    now = time.monotonic() * 1e6
    running = {"ActiveState": "active", "ExecMainStartTimestampMonotonic": str(int(now - 60e6))}
    assert fabric.outdated(running, str(program))
    assert not fabric.outdated(running | {"ExecMainStartTimestampMonotonic": str(int(now + 60e6))}, str(program))
    assert not fabric.outdated(running | {"ActiveState": "failed"}, str(program))
    os.unlink(program)
    assert not fabric.outdated(running, str(program))
