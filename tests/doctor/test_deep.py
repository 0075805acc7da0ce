"""The doctor's deep probe: DCGM's own diagnosis becomes findings with cause and fix."""

import argparse
import types

import pytest
from ansible.module_utils.doctor import deep as doctor_deep
from ansible.module_utils.doctor import doctor
from ansible.module_utils.nvidia import dcgm

from tests.doctor.patient import A
from tests.paths import PROJECT

PENDING = dcgm.Fault("Page Retirement/Row Remap", 1, "Pending page retirements", 6, 10, 6)


@pytest.fixture
def asked(patient, monkeypatch):
    """asked(faults, said, status): the findings of the deep look, by their check, of a host whose DCGM says that."""

    def ask(*faults, reported="", status=0):
        monkeypatch.setattr(dcgm, "diagnose", lambda: dcgm.Answer(status, reported, 4, list(faults)))
        return {found["check"]: found for found in doctor_deep.findings(patient.host())}

    return ask


def test_nothing_wrong(asked):
    assert asked() == {
        "dcgm diagnosis": {
            "check": "dcgm diagnosis",
            "verdict": "pass",
            "seen": "4 results, none failed",
            "expected": "no test of DCGM's fails",
            "fix": "",
        }
    }


def test_each_test_that_fails_is_a_finding(asked):
    device = dcgm.Fault("Permissions and OS Blocks", None, "The number of GPUs differs", 20, 3, 5)
    found = asked(PENDING, PENDING._replace(gpu=3), device)
    assert list(found) == ["dcgm: Page Retirement/Row Remap", "dcgm: Permissions and OS Blocks"]
    pages, permissions = found.values()
    assert pages["verdict"] == permissions["verdict"] == "fail"
    assert pages["seen"] == "GPU 1: Pending page retirements, GPU 3: Pending page retirements"
    assert "memory" in pages["cause"] and "nvidia-smi --gpu-reset -i 1,3" in pages["fix"]
    assert permissions["seen"] == "The number of GPUs differs" and "dgctl provision" in permissions["fix"]


@pytest.mark.parametrize(
    ("severity", "fix"),
    [(2, "take GPU 1 out of deepgram_gpu_devices"), (5, "do what DCGM says"), (6, "--gpu-reset -i 1"), (4, "-r 2 -v"),
     (None, "-r 2 -v")],
)  # fmt: skip
def test_the_fix_follows_dcgm_s_severity(asked, severity, fix):
    (found,) = asked(PENDING._replace(severity=severity, category=None)).values()
    assert fix in found["fix"] and found["cause"]


@pytest.mark.parametrize(
    ("reported", "status", "seen", "fix"),
    [
        ("timeout: failed to run command", 127, "DCGM is not installed", "nvidia_driver_dcgm: true"),
        ("Return: (-39) : A diag instance is already running, cannot run a new", 217, "in use", "ask again"),
        ("Return: (-34) : the affected resource is in use", 222, "in use", "ask again"),
    ],
)
def test_what_keeps_the_diagnosis_from_being_made_is_no_fault(asked, reported, status, seen, fix):
    (found,) = asked(reported=reported, status=status).values()
    assert found["verdict"] == "skip" and seen in found["seen"] and fix in found["fix"]


def test_a_program_that_draws_on_the_gpu(asked):
    (found,) = asked(dcgm.Fault("Graphics Processes", 0, "detected processes", 25, 3, 5)).values()
    assert found["verdict"] == "skip" and "draws" in found["seen"]


def test_persistence_has_a_check_of_its_own(asked):
    assert asked(dcgm.Fault("Persistence Mode", 0, "is disabled", 29, 3, 5))["dcgm diagnosis"]["verdict"] == "pass"


def test_a_host_engine_that_does_not_answer(asked):
    (found,) = asked(reported="Unable to connect to host engine", status=1).values()
    assert found["verdict"] == "fail" and "systemctl restart nvidia-dcgm" in found["fix"]


def test_without_a_driver_or_a_gpu_nothing_is_asked(asked, patient):
    patient.loaded("")
    assert "see driver versions" in asked(PENDING)["dcgm diagnosis"]["seen"]
    patient.remove(f"/sys/bus/pci/devices/{A}")
    assert "no NVIDIA GPU" in asked(PENDING)["dcgm diagnosis"]["seen"]


@pytest.mark.parametrize(("deep", "gpu", "found"), [(True, True, 1), (False, True, 0), (True, False, 0)])
def test_it_is_made_where_it_is_asked_for(patient, monkeypatch, deep, gpu, found):
    monkeypatch.setattr(dcgm, "diagnose", lambda: dcgm.Answer(0, "", 1, []))
    patient.parameters |= {"deep": deep, "gpu": gpu}
    names = [one["check"] for one in doctor.examine(patient.host())]
    assert names.count("dcgm diagnosis") == found
    assert names[-2:] == ["dcgm diagnosis", "model checksums"] or not found


def test_the_lab_s_dcgmi_is_understood(patient, monkeypatch, capsys):
    """What the stand-in prints of a GPU with a pending page becomes the finding that the real one's JSON does."""
    standin = types.ModuleType("dcgmi")
    exec((PROJECT / "lab/nvidia/files/dcgm/dcgmi").read_text(), standin.__dict__)
    pending = [{"index": str(number), "retired_pages.pending": word, "remapped_rows.pending": "[N/A]"}
               for number, word in enumerate(("No", "Yes"))]  # fmt: skip
    monkeypatch.setattr(standin, "gpus", lambda: pending)
    with pytest.raises(SystemExit) as ended:
        standin.diag(argparse.Namespace(json=True))
    monkeypatch.setattr(dcgm, "run", lambda argv, limit: (ended.value.code, capsys.readouterr().out, ""))
    (found,) = doctor_deep.findings(patient.host())
    assert found["check"] == "dcgm: Page Retirement/Row Remap" and found["seen"].startswith("GPU 1: Pending")
    assert "--gpu-reset -i 1" in found["fix"]
