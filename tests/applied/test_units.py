"""Units, and files that their processes read before they were written."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest


def is_running(pid):
    """Whether a process is there and did not end; nobody need have asked for its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("active", "enabled", "declared", "reported"),
    [
        ("active", "enabled", ["active", "enabled"], []),
        ("reloading", "static", ["active", "enabled"], []),
        ("active", "generated", ["active", "enabled"], []),
        ("failed", "enabled", ["active", "enabled"], ["is failed instead of active"]),
        ("activating", "enabled", ["active"], ["is activating instead of active"]),
        ("active", "disabled", ["active", "enabled"], ["is disabled instead of enabled"]),
        ("active", "enabled-runtime", ["enabled"], ["is enabled-runtime instead of enabled"]),
        ("active", "", ["enabled"], ["is not there instead of enabled"]),
        ("inactive", "masked", ["inactive", "disabled", "masked"], []),
        ("active", "enabled", ["inactive"], ["is active instead of inactive"]),
        ("inactive", "disabled", ["enabled"], ["is disabled instead of enabled"]),
        ("inactive", "disabled", ["masked"], ["is disabled instead of masked"]),
    ],
)
def test_states(host, active, enabled, declared, reported):
    host.unit("x.service", active, enabled)
    host.record(units={"x.service": declared})
    assert host.drift() == [f"unit x.service: {how}" for how in reported]


def test_each_unit_has_its_own_answer_also_one_that_is_not_there(host):
    host.unit("a.service")
    host.unit("z.service")
    host.record(units={"z.service": ["active"], "m.service": ["active"], "a.service": ["active"]})
    assert host.drift() == ["unit m.service: is inactive instead of active"]


def test_systemd_that_does_not_answer(host):
    host.record(units={"x.service": ["active"]})
    (host.root / "systemd" / "broken").touch()
    assert host.drift() == ["units: systemctl ended with status 1"]
    host.record(read_at_start={"x.service": ["/etc/hostname"]})
    assert host.drift() == ["units: systemctl ended with status 1"]


def test_a_systemctl_that_says_nothing(host):
    host.record(units={"x.service": ["active"], "y.service": ["active"]})
    host.program("systemctl", "exit 0\n")
    assert host.drift() == ["units: systemctl answers for other units than it was asked for"]


def test_a_systemctl_that_hangs(host):
    host.set("host.units", TIMEOUT_S=0.2)
    host.record(units={"x.service": ["active"]})
    host.program("systemctl", f"echo $$ >{host.root}/pid; exec sleep 20\n")
    begin = time.monotonic()
    assert host.drift() == ["units: systemctl: no answer in 0.2 s"]
    pid = (host.root / "pid").read_text().strip()
    while is_running(pid):
        assert time.monotonic() - begin < 10
        time.sleep(0.05)


def test_a_file_written_after_the_start(host, sleeper):
    path = host.file("conf")
    os.utime(path, (time.time() - 100, time.time() - 100))
    host.unit("x.service", pid=sleeper.pid)
    host.record(read_at_start={"x.service": [path, "/not/there"]})
    assert host.drift() == []
    time.sleep(0.1)
    os.utime(path)
    assert host.drift() == [f"unit x.service: runs with an older {path}"]
    os.utime(path, (time.time() + 1000, time.time() + 1000))  # a date in the future says nothing
    assert host.drift() == []


def test_a_unit_without_a_process_runs_with_nothing(host):
    host.unit("x.service", active="inactive")
    host.record(read_at_start={"x.service": [host.file("conf")]})
    assert host.drift() == []


def test_a_process_that_has_just_gone(host, sleeper):
    host.unit("x.service", pid=2**22 - 1)
    host.record(read_at_start={"x.service": [host.file("conf")]})
    assert host.drift() == []


def test_a_reload_reads_the_files_again(host):
    path = host.file("conf")
    # Starts a child when it is told to, as a web server does.
    script = "trap 'sleep 60 & echo again' USR1; sleep 60 & echo ready; while :; do wait; done"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True, process_group=0) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            host.unit("x.service", pid=process.pid)
            host.record(read_at_reload={"x.service": [path]})
            time.sleep(0.1)
            os.utime(path)
            assert host.drift() == [f"unit x.service: runs with an older {path}"]
            time.sleep(0.1)
            process.send_signal(signal.SIGUSR1)  # not HUP: under nohup nobody hears that
            assert process.stdout.readline() == "again\n"
            assert host.drift() == []
            host.record(read_at_start={"x.service": [path]})
            assert host.drift() == [f"unit x.service: runs with an older {path}"]
        finally:
            os.killpg(process.pid, 9)
