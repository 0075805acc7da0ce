"""What real machines said is read as it should be: tests/samples/README.md tells where it is from."""

import ast

import pytest

from tests.doctor.patient import PROJECT, Patient, smi_row  # its import makes the roles' module_utils importable

from ansible.module_utils.doctor import log as doctor_log, smi as doctor_smi  # isort: skip
from ansible.module_utils.nvidia import cdi_spec, fabric, host as nvidia_host  # isort: skip

H100, H200 = PROJECT / "tests/samples/h100", PROJECT / "tests/samples/h200"
DRIVER = "580.159.04"
SPECIFICATIONS = {"0.5.0": (0, 5, 0), "0.7.0": (0, 7, 0)}


def status_fields():
    """GPU_FIELDS of the module deepgram_status, which cannot be imported here."""
    tree = ast.parse((PROJECT / "plugins/modules/deepgram_status.py").read_text())
    table = next(node for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "GPU_FIELDS")
    return tuple(key.value for key in table.value.keys)


@pytest.mark.parametrize(
    "asked", [doctor_smi.FIELDS, nvidia_host.SMI_FIELDS, tuple(fabric.FIELDS.split(",")), status_fields()]
)
def test_a_real_driver_knows_every_field_that_is_asked_for(asked):
    assert set(asked) <= set((H100 / "query_gpu_fields.txt").read_text().split())


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_a_cdi_file_of_the_real_toolkit(name):
    text = (H100 / f"cdi_{name}.yaml").read_text()
    assert cdi_spec.is_nvidia(text) and cdi_spec.has_cuda(text)
    assert cdi_spec.version(text) == SPECIFICATIONS[name]
    assert cdi_spec.drivers(text) == [DRIVER]
    assert f"/usr/local/nvidia/lib64/libcuda.so.{DRIVER}" in cdi_spec.host_paths(text)


def test_the_linker_knows_where_the_library_is(tmp_path):
    found = nvidia_host.cached_libraries((H100 / "ldconfig.txt").read_text())
    assert found == ["/usr/local/nvidia/lib64/libnvidia-ml.so.1", "/lib/libnvidia-ml.so.1"]


@pytest.fixture
def machine(tmp_path):
    """The machine of the samples: a driver that none of its own packages brought, and no kernel of its own."""
    there = Patient(tmp_path)
    for path in ("/usr/lib/x86_64-linux-gnu", "/lib/modules"):
        there.remove(path)
    there.loaded(DRIVER)
    there.module("")
    there.smi(smi_row(name="NVIDIA H100 80GB HBM3", driver_version=DRIVER, fabric_state="N/A", fabric_status="N/A"))
    folder = tmp_path / "usr/local/nvidia/lib64"
    folder.mkdir(parents=True)
    (folder / f"libnvidia-ml.so.{DRIVER}").touch()
    (folder / "libnvidia-ml.so.1").symlink_to(f"libnvidia-ml.so.{DRIVER}")
    there.say("ldconfig", (H100 / "ldconfig.txt").read_text().replace("=> ", f"=> {tmp_path}"))
    return there


def test_a_driver_from_outside_is_no_fault(machine):
    found = machine.findings()
    assert found["driver versions"]["verdict"] == "pass", found
    assert found["driver versions"]["seen"] == f"loaded {DRIVER}, module file none, library {DRIVER}"
    coming = found["module for next kernel"]
    assert coming["verdict"] == "skip" and "/lib/modules" in coming["seen"]


def test_a_library_of_another_version_elsewhere_is_one(machine):
    machine.loaded("580.95.05")
    assert machine.findings()["driver versions"]["verdict"] == "fail"


def test_the_mistakes_of_programs_are_no_fault_of_the_host(machine):
    lines = (H200 / "kernel_log.txt").read_text().splitlines()
    reported = doctor_log.xids(lines)
    assert {bus for bus, _, _ in reported} == {"0000:00:06"}
    assert [number for _, number, _ in reported] == [31, 13, 13, 13, 43, 13, 13, 13, 13, 43]
    machine.log(*lines)
    xid = machine.findings()["xid"]
    assert (xid["verdict"], xid["seen"]) == ("pass", "none that matters (there were 13, 31, 43)")
