"""The stand-in nvidia-smi against a described kernel: the texts and exit codes that roles and checks rely on."""

import json

import pytest

from lab import gpus
from tests.lab.programs import load

DRIVER = "580.173.02"


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """nvidia-smi on a server with two T4s, driver loaded."""
    module = load("nvidia/files/driver/nvidia-smi")
    (tmp_path / "dev").mkdir()
    (tmp_path / "state").mkdir()
    cards = [card | {"minor": n} for n, card in enumerate(gpus.describe("lab-gpu1", ["t4", "t4"]))]
    for node in ("nvidiactl", "nvidia0", "nvidia1"):
        (tmp_path / "dev" / node).touch()
    state = {"version": DRIVER, "open": True, "gpus": cards}
    (tmp_path / "state/gpus.json").write_text(json.dumps(state))
    monkeypatch.setattr(module, "DEV", tmp_path / "dev")
    monkeypatch.setattr(module, "STATE", tmp_path / "state")
    monkeypatch.setattr(module, "library_version", lambda: DRIVER)
    return module


def refused(smi, *arguments):
    with pytest.raises(smi.SmiError) as error:
        smi.answer(arguments)
    return error.value.code, str(error.value)


def test_list_names_each_gpu_with_its_uuid(smi):
    lines = smi.answer(["-L"]).splitlines()
    assert lines[0].startswith("GPU 0: Tesla T4 (UUID: GPU-")
    assert lines[1].startswith("GPU 1: Tesla T4 (UUID: GPU-")


def test_a_query_has_units_and_a_header_unless_told_otherwise(smi):
    asked = "--query-gpu=name,memory.total,driver_version,pci.bus_id"
    text = smi.answer([asked, "--format=csv"]).splitlines()
    assert text[0] == "name, memory.total [MiB], driver_version, pci.bus_id"
    assert text[1] == f"Tesla T4, 15360 MiB, {DRIVER}, 00000000:3B:00.0"
    bare = smi.answer([asked, "--format=csv,noheader,nounits", "-i", "1"])
    assert bare == f"Tesla T4, 15360, {DRIVER}, 00000000:43:00.0"


def test_only_gpus_whose_node_is_there_are_seen(smi, tmp_path):
    (tmp_path / "dev/nvidia0").unlink()
    assert smi.answer(["--query-gpu=count", "--format=csv,noheader"]) == "1"
    (tmp_path / "dev/nvidia1").unlink()
    assert refused(smi, "-L") == (6, "No devices were found")


def test_without_a_loaded_module_it_cannot_communicate(smi, tmp_path):
    (tmp_path / "state/gpus.json").unlink()
    code, text = refused(smi)
    assert code == 9
    assert "couldn't communicate with the NVIDIA driver" in text


def test_another_library_than_the_loaded_module_is_a_mismatch(smi, monkeypatch):
    monkeypatch.setattr(smi, "library_version", lambda: "595.91.07")
    code, text = refused(smi, "-L")
    assert code == 18
    assert text.startswith("Failed to initialize NVML: Driver/library version mismatch")


@pytest.mark.parametrize("arguments", [["--query-gpu=nme", "--format=csv"], ["--query-gpu=name"], ["--nonsense"]])
def test_wrong_arguments_end_with_2(smi, arguments):
    assert refused(smi, *arguments)[0] == 2


def test_the_table_has_the_real_ones_width(smi):
    lines = smi.answer([]).splitlines()
    assert {len(line) for line in lines[1:] if line} == {91}
    assert f"Driver Version: {DRIVER}" in lines[2]
    assert "CUDA Version: 13.0" in lines[2]
