"""Each fault is called by its name, with a cause and the command that fixes it, and nothing else is blamed for it."""

import pytest
from ansible.module_utils.doctor import doctor
from ansible.module_utils.doctor import smi as doctor_smi

from tests.doctor.faults import driver, engines, gpus, packages, states, toolkit
from tests.doctor.faults.table import FAULTS
from tests.doctor.patient import APT, BLACKLIST, CDI, DAEMON, OLDER, OPEN, VERSION, A, smi_row


@pytest.mark.parametrize("change", FAULTS, ids=lambda change: change.__name__)
def test_is_called_by_its_name(patient, change):
    change(patient)
    found = patient.findings()
    failed = {name for name, one in found.items() if one["verdict"] == "fail"}
    assert failed == set(FAULTS[change]), patient.failing()
    for name, fix in FAULTS[change].items():
        one = found[name]
        assert fix in one["fix"] and one["fix"], one
        assert one["cause"] and one["seen"] and one["expected"], one
        assert all("\n" not in text for text in one.values())


def test_every_check_has_a_fault_here():
    named = {name for failing in FAULTS.values() for name in failing}
    elsewhere = {"disk", "package lock"}  # test_machine.py
    never = {"reboot", "driver support"}
    assert {check.name for check in doctor.CHECKS} - elsewhere - never == named


def test_the_cause_leads_to_the_check_that_knows(patient):
    driver.nouveau(patient)
    assert "see nouveau" in patient.findings()["driver versions"]["cause"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (driver.key_rejected, "see secure boot"),
        (engines.daemon_json_malformed, "3"),
        (gpus.off_the_bus, "fell off the bus"),
        (packages.package_upgraded, "unattended upgrade"),
        (engines.engine_without_a_key, "no key was given to the program"),
        (engines.engine_too_old_for_flux_podman, "the Engine's image is older than Flux"),
    ],
)
def test_causes(patient, change, words):
    change(patient)
    texts = [one.get("cause", "") + one["seen"] for one in patient.findings().values() if one["verdict"] == "fail"]
    assert any(words in text for text in texts), texts


def test_daemon_json_says_where(patient):
    engines.daemon_json_malformed(patient)
    found = patient.findings()["daemon.json"]
    assert "line 3 column 26" in found["seen"] and '"live-restore": true,,' in found["cause"]


def test_what_is_switched_off_is_not_asked(patient):
    patient.parameters |= {"hold": False, "persistence": False}
    packages.hold_lifted(patient)
    states.not_persistent(patient)
    assert patient.failing() == {}


def test_one_that_does_not_know_a_field_is_asked_for_the_others(patient):
    fields = [field for field in doctor_smi.FIELDS if field != "gpu_recovery_action"]
    row = dict(zip(doctor_smi.FIELDS, smi_row(persistence_mode="Disabled").split(", ")))
    patient.say("smi", 'Field "gpu_recovery_action" is not a valid field to query.\n', 2)
    patient.say("smi_fields", "".join(f'"{field}"\n' for field in fields))
    patient.say("smi_again", ", ".join(row[field] for field in fields) + "\n")
    assert set(patient.failing()) == {"persistence"}


def test_blacklisted_packages_need_no_hold(patient):
    packages.nightly_upgrades(patient)
    patient.say("apt_config", APT + BLACKLIST + 'APT::Periodic::Unattended-Upgrade "1";\n')
    assert set(patient.failing()) == {"holds"}


def test_open_is_the_flavour_by_the_loaded_module(patient):
    patient.gpu(A, "2901")
    patient.module(VERSION, "NVIDIA")
    patient.loaded(VERSION, OPEN)
    assert "module flavour" not in patient.failing()
    patient.daemon(DAEMON)


def test_a_branch_past_its_end_is_told(patient):
    for be in (patient.loaded, patient.module, patient.library):
        be("535.309.01")
    found = patient.findings()["driver support"]
    assert found["verdict"] == "skip" and "its support ended in 2026-06" in found["seen"]
    assert "580 to 2028-06" in found["fix"]
    patient.parameters["driver_source"] = "distribution"
    assert patient.findings()["driver support"]["verdict"] == "pass"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (toolkit.cdi_of_an_older_driver, f"/run/cdi/nvidia.yaml is for driver {OLDER}, loaded is {VERSION}"),
        (toolkit.cdi_without_libcuda, "/run/cdi/nvidia.yaml hands out no libcuda"),
        (toolkit.cdi_names_what_is_missing, f"libcuda.so.{VERSION}, which is not there"),
    ],
)
def test_each_fault_of_a_cdi_file_is_called_by_its_name(patient, change, words):
    change(patient)
    assert words in patient.failing()["cdi specifications"]


def test_a_cdi_file_with_everything_but_libcuda_hands_out_no_cuda(patient):
    """The container starts, and the Engine computes on the CPU."""
    lines = CDI.format(cdi="0.7.0", version=VERSION).splitlines(keepends=True)
    patient.write("/run/cdi/nvidia.yaml", "".join(line for line in lines if "libcuda" not in line))
    assert patient.failing() == {"cdi specifications": "/run/cdi/nvidia.yaml hands out no libcuda"}


def test_of_a_module_that_is_not_loaded_the_one_on_the_disk_counts(patient):
    driver.module_missing(patient)
    patient.module("535.309.01")
    assert "its support ended in 2026-06" in patient.findings()["driver support"]["seen"]
    patient.loaded("580.95.05")
    assert patient.findings()["driver support"]["verdict"] == "pass", "what drives the GPU now counts first"
    patient.loaded("")
    patient.module("")
    assert patient.findings()["driver support"]["seen"] == "no NVIDIA driver is installed"
