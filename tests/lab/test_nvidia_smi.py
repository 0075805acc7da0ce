"""The stand-in nvidia-smi against a described kernel: the texts and exit codes that roles and checks rely on."""

import json

import pytest

from lab.hardware import gpus
from lab.nvidia.programs.nvidia_smi import driver, fields, main
from lab.nvidia.programs.nvidia_smi.driver import SmiError

DRIVER = "580.173.02"
CSV = "--format=csv,noheader"
# What doctor and verify ask for.
ASKED = [
    "index", "uuid", "name", "pci.bus_id", "driver_version", "memory.total", "persistence_mode", "ecc.mode.current",
    "ecc.errors.uncorrected.volatile.total", "retired_pages.pending", "remapped_rows.pending",
    "remapped_rows.failure", "pcie.link.gen.current", "pcie.link.gen.max", "pcie.link.width.current",
    "pcie.link.width.max", "clocks_event_reasons.hw_slowdown", "clocks_event_reasons.hw_thermal_slowdown",
    "gpu_recovery_action", "fabric.state", "fabric.status", "mig.mode.current", "mig.mode.pending",
    "temperature.gpu", "power.draw",
]  # fmt: skip


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A function that makes this a server with such GPUs and such a driver loaded."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "state").mkdir()
    monkeypatch.setattr(driver, "DEV", tmp_path / "dev")
    monkeypatch.setattr(driver, "STATE", tmp_path / "state")
    monkeypatch.setattr(driver, "KERNEL", str(tmp_path / "no kernel"))

    def make(text, version=DRIVER, **health):
        cards = gpus.describe("lab-gpu1", gpus.parse(text))
        link = {"link_gen": 3, "link_width": 16, "initialised": True}
        cards = [card | link | {"minor": number} for number, card in enumerate(cards)]
        cards[0]["health"] |= health
        for node in ["nvidiactl", *(f"nvidia{card['minor']}" for card in cards)]:
            (tmp_path / "dev" / node).touch()
        (tmp_path / "state/gpus.json").write_text(json.dumps({"version": version, "open": True, "gpus": cards}))
        for module in (driver, main):
            monkeypatch.setattr(module, "library_version", lambda: version)

    return make


@pytest.fixture
def smi(server):
    """nvidia-smi on a server with two T4s, driver loaded."""
    server("t4:2")
    return main


def refused(smi, *arguments):
    with pytest.raises(SmiError) as error:
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
    monkeypatch.setattr(driver, "library_version", lambda: "595.91.07")
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


@pytest.mark.parametrize("model", [*gpus.TABLE, *gpus.BOARDS])
def test_every_field_that_is_asked_has_an_answer_on_every_gpu(server, model):
    server(model)
    rows = main.answer(["--query-gpu=" + ",".join(ASKED), CSV]).splitlines()
    assert len(rows) == len(gpus.parse(model).models)
    assert {len(row.split(", ")) for row in rows} == {len(ASKED)}
    assert set(ASKED) <= set(fields.FIELDS)


def values(asked):
    return main.answer([f"--query-gpu={asked}", CSV, "-i", "0"]).split(", ")


def test_old_gpus_retire_pages_and_new_ones_remap_rows(server):
    asked = "retired_pages.pending,remapped_rows.pending,mig.mode.current"
    server("t4")
    assert values(asked) == ["No", "[N/A]", "[N/A]"]
    server("h100")
    assert values(asked) == ["[N/A]", "No", "Disabled"]


def test_fabric_manager_completes_the_fabric_of_hopper_boards_only(server, tmp_path):
    asked = "fabric.state,fabric.status"
    server("hgx-h100")
    assert values(asked)[0] == "In Progress"
    (tmp_path / "state/fabric").touch()
    assert values(asked) == ["Completed", "Success"]
    for other in ("hgx-a100", "h100", "t4"):
        server(other)
        assert values(asked) == ["N/A", "N/A"]


def test_a_lost_gpu_costs_the_whole_query_but_one_line_of_the_list(server):
    server("t4:2", lost=True)
    code, text = refused(main)
    assert code == 15
    assert text.startswith("Unable to determine the device handle for GPU0000:3B:00.0: GPU is lost.")
    lines = main.answer(["-L"]).splitlines()
    assert "GPU is lost" in lines[0]
    assert lines[1].startswith("GPU 1: Tesla T4")
    assert main.answer(["--query-gpu=name", CSV, "-i", "1"]) == "Tesla T4"


def test_gpus_that_the_driver_could_not_start_are_not_there(server, tmp_path):
    server("b200")
    state = json.loads((tmp_path / "state/gpus.json").read_text())
    state["gpus"][0]["initialised"] = False
    (tmp_path / "state/gpus.json").write_text(json.dumps(state))
    assert refused(main) == (6, "No devices were found")


def test_branch_610_renamed_the_driver_version_in_its_banner(server):
    server("t4", "615.71.09")
    assert "KMD Version: 615.71.09" in main.answer([])
    assert "Deprecated" in main.answer(["--version"])
    assert {len(line) for line in main.answer([]).splitlines()[1:] if line} == {91}
    assert values("driver_version,kmd_version") == ["615.71.09", "615.71.09"]
    server("t4", "580.173.02")
    assert refused(main, "--query-gpu=kmd_version", CSV)[0] == 2


def test_what_is_set_from_a_container_is_refused(server):
    server("h100")
    assert refused(main, "-mig", "1")[0] == 4
