"""The same faults where packages are rpm's."""

from tests.doctor.patient import DRIVER_PACKAGES, NEWER, TOOLKIT, VERSION
from tests.doctor.rpm_patient import KMODS, history, lock, packages


def test_healthy(rpm):
    assert rpm.failing() == {}
    found = rpm.findings()
    assert found["holds"]["seen"] == "2 packages held" and found["package state"]["verdict"] == "pass"
    assert found["package versions"]["seen"].startswith(VERSION)
    broken = [one for one in found.values() if "cannot be inspected" in one["seen"]]
    assert broken == []


def test_a_package_past_its_lock(rpm):
    packages(rpm, dict.fromkeys(KMODS, VERSION) | {"nvidia-driver-cuda-libs": NEWER})
    assert set(rpm.failing()) == {"package versions"}
    assert f"dnf install nvidia-driver-cuda-libs=3:{VERSION}" not in rpm.findings()["package versions"]["fix"]
    assert f"dnf install nvidia-driver-cuda-libs-3:{VERSION}-1.el9" in rpm.findings()["package versions"]["fix"]


def test_a_lock_that_is_gone(rpm):
    lock(rpm, "nvidia-open")
    assert set(rpm.failing()) == {"holds"}
    assert "dnf versionlock add nvidia-driver-cuda" in rpm.findings()["holds"]["fix"]


def test_dependencies(rpm):
    rpm.say("rpm_check", f"Unsatisfied dependencies for nvidia-driver-cuda: nvidia-open = 3:{VERSION}\n", 1)
    assert set(rpm.failing()) == {"package state"}


def test_a_transaction_that_never_ended(rpm):
    history(rpm, ("nvidia-open", VERSION, "nvidia-driver"), ended="NULL")
    assert set(rpm.failing()) == {"package state"}


def test_dnf_automatic(rpm):
    rpm.write("/etc/systemd/system/timers.target.wants/dnf-automatic.timer")
    rpm.write("/etc/dnf/automatic.conf", "[commands]\napply_updates = yes\n")
    assert set(rpm.failing()) == {"unattended upgrades"}
    rpm.write("/etc/dnf/dnf.conf", "[main]\nexcludepkgs=*nvidia*, cuda*\n")
    assert rpm.failing() == {}


def test_toolkit_versions(rpm):
    rpm.say("rpm", rpm.programs.reported("rpm").text.replace(f"{TOOLKIT[0]}\t1.20.1", f"{TOOLKIT[0]}\t1.19.1"))
    assert "toolkit versions" in rpm.failing()


def test_a_debian_with_dnf_as_a_tool_is_debian(patient):
    patient.write("/usr/bin/dnf")
    patient.write("/usr/bin/apt-get")
    assert patient.findings()["package versions"]["seen"].endswith(f"({len(DRIVER_PACKAGES)} packages)")


def test_an_rpm_that_is_slow_is_no_fault(rpm):
    rpm.say("rpm", "", None, "rpm: no answer in 20 s")
    rpm.say("rpm_check", "", None, "rpm: no answer in 8 s")
    assert rpm.failing() == {}
