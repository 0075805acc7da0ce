"""The page that bin/hardware-run writes: from what its commands say, without what tells one card from another."""

import importlib.util
import subprocess
import sys

import pytest

from tests.paths import PROJECT

SPEC = importlib.util.spec_from_file_location("hardware_run", PROJECT / "docs/hardware/run.py")
SERIAL = "1234567890123"
UUID = "GPU-0a1b2c3d-0123-4567-89ab-0123456789ab"
ANSWERS = {
    "--query-gpu=name,driver_version": "NVIDIA L4, 580.95.05\nNVIDIA L4, 580.95.05\n",
    "nvidia-smi -L": f"GPU 0: NVIDIA L4 (UUID: {UUID})\n",
    "dmesg": f"NVRM: GPU Board Serial Number: {SERIAL}\n",
    "preflight": '{"exit_code": 4, "seconds": 1.5, "errors": [{"what": "cpu cores", "value": "2"}], "checks": '
    '[{"check": "cpu cores", "verdict": "fail", "seen": "2", "expected": "at least 4 | more"}]}',
    "doctor": "Traceback",
    "verify": '{"exit_code": 8, "seconds": 2, "errors": [], "checks": []}',
    "--check": 'fatal: ... "msg": "no repository. Fix: give one"\nhost : ok=7 changed=2 failed=1\n',
}


@pytest.fixture
def hardware_run(monkeypatch):
    """The script, whose commands answer by the first of ANSWERS that they name."""
    module = importlib.util.module_from_spec(SPEC)
    SPEC.loader.exec_module(module)

    def answer(command, environment):
        words = " ".join(command)
        reported = next((text for name, text in module.answers_given.items() if name in words), "")
        return subprocess.CompletedProcess(command, 2 if "--check" in words else 0, reported, "")

    module.answers_given = ANSWERS
    monkeypatch.setattr(module, "run", answer)
    return module


def test_page(hardware_run, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", "--out", str(tmp_path / "page.md")])
    hardware_run.main()
    page = (tmp_path / "page.md").read_text()
    assert "2 x NVIDIA L4, driver 580.95.05, docker" in page
    assert "| nvidia_driver | 7 | 2 | no repository. Fix: give one |" in page
    assert "| cpu cores | fail | 2 | at least 4 / more |" in page and "- cpu cores: 2" in page
    assert "no answer: Traceback" in page and "Exit code 8, 2.0 s." in page
    assert UUID not in page and "GPU-(left out)" in page
    assert SERIAL not in page and "Serial Number: (left out)" in page


def test_no_gpu(hardware_run, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py"])
    hardware_run.answers_given = {}
    with pytest.raises(SystemExit, match=r"shows no GPU here: it is not installed\. Fix: run this where one works"):
        hardware_run.main()
