"""Room on disks, the package manager's lock, the clock: what only a real machine shows."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from ansible.module_utils.doctor import machine as doctor_machine

HOLD = """
import fcntl, sys, time
stream = open(sys.argv[1], "r+b")
fcntl.lockf(stream, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(patient):
    """Another process that holds dpkg's lock."""
    path = patient.root / "var/lib/dpkg/lock-frontend"
    path.touch()
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_lock_that_is_free_is_free_and_stays_so(patient):
    (patient.root / "var/lib/dpkg/lock-frontend").touch()
    assert patient.findings()["package lock"]["seen"] == "free"
    assert doctor_machine.holder(patient.host()) is None


def test_a_lock_that_is_held_for_a_moment_is_no_fault(patient, holder):
    found = patient.findings()["package lock"]
    assert found["verdict"] == "pass" and f"(process {holder.pid})" in found["seen"]


def test_a_lock_that_is_held_for_longer_than_provision_waits(patient, holder, monkeypatch):
    monkeypatch.setattr(doctor_machine, "started", lambda pid: time.time() - 700)
    found = patient.findings()["package lock"]
    assert found["verdict"] == "fail" and f"ps -fp {holder.pid}" in found["fix"] and "for 11 min" in found["seen"]


def test_half_done_packages_are_no_fault_while_somebody_is_at_work(patient, holder):
    patient.package("bash", "5", status="unpacked")
    assert patient.findings()["package state"]["verdict"] == "skip"


@pytest.fixture
def filesystems(monkeypatch):
    """filesystems(path's end={field: value}): what statvfs says there; elsewhere there is room."""
    sizes = {}

    def statvfs(path):
        found = {
            "f_blocks": 10**8,
            "f_frsize": 1000,
            "f_bavail": 10**7,
            "f_files": 10**6,
            "f_favail": 10**5,
            "f_flag": 0,
        }
        found |= next((values for end, values in sizes.items() if str(path).endswith(end)), {})
        return SimpleNamespace(**found)

    monkeypatch.setattr(os, "statvfs", statvfs)
    return sizes.update


@pytest.mark.parametrize(
    ("place", "sizes", "verdict"),
    [
        ("/var/lib/dpkg", {"f_bavail": 10**5}, "fail"),  # 100 MB of 100 GB
        ("/var/lib/dpkg", {"f_bavail": 0}, "fail"),
        ("/var/lib/dpkg", {"f_bavail": 6 * 10**5}, "pass"),
        ("/var/lib/dpkg", {"f_blocks": 5 * 10**5, "f_bavail": 10**5}, "pass"),  # 100 MB of 500
        ("/var/lib/dpkg", {"f_blocks": 5 * 10**5, "f_bavail": 10**4}, "fail"),
        ("/var/lib/dpkg", {"f_favail": 9}, "fail"),
        ("/var/lib/dpkg", {"f_favail": 0, "f_files": 0}, "pass"),  # btrfs counts none
        ("/var/lib/dpkg", {"f_bavail": 0, "f_flag": os.ST_RDONLY}, "pass"),
        ("/srv/models", {"f_bavail": 0}, "fail"),
    ],
)
def test_room(patient, filesystems, monkeypatch, place, sizes, verdict):
    patient.parameters["places"] = ["/srv/models"]
    patient.write("/srv/models/x.dg")
    # Each place is a filesystem of its own.
    monkeypatch.setattr(doctor_machine, "device", lambda path: path)
    filesystems({place: sizes})
    found = patient.findings()["disk"]
    assert found["verdict"] == verdict, found
    if verdict == "fail":
        command = "du --inodes -x -d4" if "f_favail" in sizes else "du -xh -d2"
        assert place in found["seen"] and f"{command} {place}" in found["fix"]


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(0, "pass"), (-60, "pass"), (110, "pass"), (-86400, "fail"), (130, "fail")]
)
def test_clock(patient, seconds, verdict):
    patient.parameters["controller_time"] = time.time() + seconds
    assert patient.findings()["clock"]["verdict"] == verdict


def test_the_clock_of_a_controller_that_says_nothing(patient):
    patient.parameters["controller_time"] = None
    assert patient.findings()["clock"]["verdict"] == "skip"


def test_a_due_reboot_is_told_and_no_fault(patient):
    patient.write("/run/reboot-required")
    patient.write("/run/reboot-required.pkgs", "linux-image-6.12.50\n")
    found = patient.findings()["reboot"]
    assert found["verdict"] == "skip" and "linux-image-6.12.50" in found["seen"] and "drain" in found["fix"]
