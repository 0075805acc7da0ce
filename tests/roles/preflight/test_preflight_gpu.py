"""GPUs from a PCI tree."""

import pytest
from ansible.module_utils.nvidia import host as nvidia_host
from ansible.module_utils.preflight import gpu as preflight_gpu

from tests import yaml_file
from tests.paths import PROJECT

TABLE = yaml_file.read(PROJECT / "roles/platform/vars/main/gpus.yml")["_platform_gpus"]
PROFILES = yaml_file.read(PROJECT / "roles/platform/vars/main/profiles.yml")["_platform_profiles"]
MINIMUMS = PROFILES["stt"]["minimums"]
ANY = {"count": None, "names": [], "excluded": []}


@pytest.fixture
def bus(tmp_path):
    """bus(device id, class): adds a device of NVIDIA's; returns the root of the tree."""

    def add(device, pci_class="0x030200", vendor="0x10de"):
        path = tmp_path / f"0000:{len(list(tmp_path.iterdir())):02x}:00.0"
        path.mkdir()
        for name, text in {"vendor": vendor, "device": f"0x{device}", "class": pci_class}.items():
            (path / name).write_text(text + "\n")
        return str(tmp_path)

    return add


def verdicts(root, minimums=MINIMUMS, **desired):
    return {f["check"]: f["verdict"] for f in preflight_gpu.gpus(TABLE, minimums, ANY | desired, root)}


def test_only_gpus_count(bus):
    bus("1eb8")
    bus("10f7", "0x040300")  # audio
    bus("22a3", "0x068000")  # NVSwitch
    bus("1af4", vendor="0x1af4")
    assert [gpu["id"] for gpu in nvidia_host.pci_gpus(bus("2684", "0x030000"))] == ["10de:1eb8", "10de:2684"]


def test_gpu_of_a_virtual_machine_does_not_count(bus, tmp_path):
    root = bus("1eb8")
    (tmp_path / "0000:00:00.0/driver").symlink_to("../../../bus/pci/drivers/vfio-pci")
    assert nvidia_host.pci_gpus(root) == []


def test_a_t4_is_enough(bus):
    assert set(verdicts(bus("1eb8")).values()) == {"pass"}


def test_no_gpu(bus):
    assert verdicts(bus("22a3", "0x068000")) == {"gpu count": "fail"}


def test_none_is_fine_where_none_is_needed(tmp_path):
    assert preflight_gpu.gpus(TABLE, MINIMUMS | {"gpu_count": 0}, ANY, str(tmp_path)) == []


def test_gpu_too_small_and_too_old(bus):
    found = verdicts(bus("1bb3"))  # Tesla P4: 8 GiB, 6.1
    assert (found["gpu memory"], found["gpu compute capability"]) == ("fail", "fail")


def test_the_smallest_of_several_counts(bus):
    bus("2330")
    assert verdicts(bus("1bb3"))["gpu memory"] == "fail"


def test_unknown_model_is_told_by_id(bus):
    found = preflight_gpu.gpus(TABLE, MINIMUMS, ANY, bus("ffff"))
    assert [f["seen"] for f in found if f["check"] == "gpu model"] == ["10de:ffff at 0000:00:00.0"]


def test_exact_count_and_names(bus):
    bus("27b8")
    root = bus("27b8")
    assert verdicts(root, count=3)["gpu count"] == "fail"
    assert verdicts(root, names=["NVIDIA L4", "NVIDIA L4"])["gpu names"] == "pass"
    assert verdicts(root, names=["NVIDIA L4", "Tesla T4"])["gpu names"] == "fail"


def test_model_that_cannot_serve_the_profile(bus):
    excluded = PROFILES["flux_tts"]["excluded"]
    assert verdicts(bus("2236"), excluded=excluded)["gpu model"] == "fail"


def test_ten_is_more_than_nine():
    assert preflight_gpu.number("10.0") > preflight_gpu.number("9.0")


def test_mig(monkeypatch):
    monkeypatch.setattr(nvidia_host, "loaded_version", lambda: "580.173.02")
    card = {"pci.bus_id": "00000000:3B:00.0", "mig.mode.current": "Enabled"}
    assert preflight_gpu.mig(lambda _timeout: ([card], ""))["verdict"] == "fail"
    assert preflight_gpu.mig(lambda _timeout: ([card | {"mig.mode.current": "[N/A]"}], ""))["verdict"] == "pass"
    assert preflight_gpu.mig(lambda _timeout: ([], "no answer"))["verdict"] == "skip"


@pytest.mark.parametrize("pci_id", TABLE)
def test_rows_of_the_table_are_complete(pci_id):
    row = TABLE[pci_id]
    assert pci_id.startswith("10de:") and pci_id == pci_id.lower() and len(pci_id) == 9
    assert row["memory_mib"] > 4096 and preflight_gpu.number(row["compute_capability"]) >= (5, 0) and row["name"]
