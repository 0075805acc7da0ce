"""Which driver fits which GPUs, by the tables that the roles go by."""

import re

import pytest
from ansible.module_utils.nvidia import host as nvidia_host
from ansible.module_utils.nvidia import nvswitch
from ansible.module_utils.nvidia.drivers import Drivers
from ansible.module_utils.preflight import driver as preflight_driver

from tests import yaml_file
from tests.paths import PROJECT
from tests.scenarios.support.boards import APPLIED

TABLES = {
    name.removeprefix("_platform_"): row
    for file in ("gpus", "branches", "nvswitch")
    for name, row in yaml_file.read(PROJECT / f"roles/platform/vars/main/{file}.yml").items()
}
P40, V100, T4, H100, B200 = (TABLES["gpus"][f"10de:{device}"] for device in ("1b38", "1db4", "1eb8", "2330", "2901"))
DRIVERS = Drivers(TABLES["branches"], TABLES["generations"], "2026-11")


@pytest.mark.parametrize(
    ("branch", "models", "flavours"),
    [
        ("580", [T4], ["open", "proprietary"]),
        ("620", [T4], ["open"]),
        ("580", [P40], ["proprietary"]),
        ("590", [V100], []),
        ("595", [P40], []),
        ("580", [V100, T4], ["proprietary"]),
        ("595", [V100, T4], []),
        ("570", [B200], ["open"]),
        ("550", [B200], []),
        ("580", [B200, H100], ["open"]),
        ("580", [P40, B200], []),
        ("999", [T4], []),
    ],
)
def test_flavours_that_drive_all_gpus(branch, models, flavours):
    assert DRIVERS.flavours(branch, models) == flavours


@pytest.mark.parametrize(
    ("branch", "flavour", "models", "near"),
    [
        ("595", "auto", [V100], ("580", "proprietary")),
        ("580", "open", [V100, T4], ("580", "proprietary")),
        ("580", "proprietary", [B200], ("580", "open")),
        ("550", "auto", [B200], ("580", "open")),  # 570 is nearer, and has ended
        ("620", "proprietary", [T4], ("595", "proprietary")),  # supported ones first
        ("600", "auto", [T4], ("595", "open")),
        ("580", "auto", [P40, B200], None),
    ],
)
def test_nearest_that_works(branch, flavour, models, near):
    assert DRIVERS.nearest(branch, flavour, models) == near
    assert near is None or near[1] in DRIVERS.flavours(near[0], models)


def test_only_what_the_host_s_source_has_is_named():
    some = Drivers(TABLES["branches"], TABLES["generations"], "2026-11", ["590", "610"])
    assert some.nearest("550", "auto", [B200]) == ("590", "open") and some.nearest("590", "auto", [V100]) is None
    assert "nvidia_driver_source" in some.problem("590", "auto", [V100])[1]


def test_what_is_wrong_names_who_does_not_fit_and_what_does():
    what, fix = DRIVERS.problem("595", "auto", [V100, T4])
    assert "V100" in what and "T4" not in what and '"580"' in fix and "proprietary" in fix
    what, fix = DRIVERS.problem("580", "open", [V100, T4])
    assert "open kernel module does not drive Tesla V100" in what and "nvidia_driver_kernel_module to auto" in fix
    assert "take one kind" in DRIVERS.problem("580", "auto", [P40, B200])[1]
    assert "not in the table" in DRIVERS.problem("585", "auto", [T4])[0]
    assert "has no proprietary" in DRIVERS.problem("620", "proprietary", [])[0]
    assert DRIVERS.problem("580", "auto", [T4]) is None


@pytest.mark.parametrize(("pci_id", "branch"), APPLIED)
def test_scenarios_apply_what_the_tables_say(pci_id, branch):
    chosen = DRIVERS.chosen(branch, "auto", [TABLES["gpus"][pci_id]])
    assert (chosen or "refused") == APPLIED[pci_id, branch]


def test_a_branch_past_its_end_is_told_and_not_refused():
    assert DRIVERS.problem("570", "auto", [T4]) is None
    assert "has ended" in DRIVERS.described("570") and "ended in 2026-08" in DRIVERS.described("610")
    assert "supported to 2028-06" in DRIVERS.described("580") and "not known" in DRIVERS.described("620")
    assert Drivers(TABLES["branches"], TABLES["generations"], "2028-07").ended("580") == "2028-06"
    assert DRIVERS.ended("580") == ""


@pytest.mark.parametrize(
    ("capability", "name"), [("7.0", "Volta"), ("8.7", "Ampere"), ("12.0", "Blackwell"), ("3.5", "")]
)
def test_gpu_of_the_user_s_own_table_has_its_capability_s_generation(capability, name):
    assert DRIVERS.generation({"name": "X", "compute_capability": capability})[0] == name


@pytest.mark.parametrize("pci_id", TABLES["gpus"])
def test_every_gpu_has_a_generation_and_a_driver(pci_id):
    row = TABLES["gpus"][pci_id]
    assert row["generation"] == DRIVERS.generation({**row, "generation": ""})[0]
    assert DRIVERS.nearest("580", "auto", [row])[0] == "580"
    assert row.get("nvswitch") in {None, *TABLES["nvswitch"]} and row.get("first_branch") in {
        None,
        *TABLES["branches"],
    }


@pytest.mark.parametrize("branch", TABLES["branches"])
def test_rows_of_branches_are_complete(branch):
    row = TABLES["branches"][branch]
    assert set(row["modules"]) <= {"open", "proprietary"} and row["modules"][0] == "open"
    assert re.fullmatch(r"\d{4}-\d{2}|past|", row.get("ends", ""))


@pytest.fixture
def bus(tmp_path):
    """bus(vendor:device, class, vpd): adds a device; returns the root of the tree."""

    def add(ids, pci_class="0x030200", vpd=""):
        path = tmp_path / f"0000:{len(list(tmp_path.iterdir())):02x}:00.0"
        path.mkdir()
        vendor, device = ids.split(":")
        for name, text in {"vendor": f"0x{vendor}", "device": f"0x{device}", "class": pci_class, "vpd": vpd}.items():
            (path / name).write_text(text + "\n")
        return str(tmp_path)

    return add


def desired(root, **driver):
    chosen = {"branch": "580", "kernel_module": "auto", "source": "nvidia", "packages": "apt"} | driver
    return preflight_driver.Wanted(TABLES, chosen, root)


def names(found):
    return [package["name"] for package in found.facts()["fabric_packages"]]


def test_boards_are_told_by_their_switches(bus):
    root = bus("10de:20b2")
    assert desired(root).facts() == {
        "gpus": ["10de:20b2"], "kernel_module": "open", "nvswitch": "", "fabric_packages": [],
    }  # fmt: skip
    bus("10de:1af1", "0x068000")
    assert desired(root).board == "hgx-a100" and names(desired(root)) == ["nvidia-fabricmanager", "libnvidia-nscq"]


def test_board_whose_switches_are_behind_network_functions(bus):
    root = bus("15b3:1021", "0x020700", "ConnectX-7 SW_MNG")
    assert desired(root).board == ""
    bus("10de:2901")
    found = desired(root)
    assert found.board == "hgx-blackwell" and found.facts()["kernel_module"] == "open"
    assert "nvlsm" in names(found) and [f["verdict"] for f in found.findings()] == ["pass", "pass"]
    assert [f["verdict"] for f in desired(root, source="distribution").findings()] == ["pass", "fail"]


def test_network_card_of_no_board(bus):
    bus("15b3:1021", "0x020700", "ConnectX-7")
    assert desired(bus("10de:2901")).board == ""


def test_switch_that_is_given_to_a_virtual_machine(bus, tmp_path):
    root = bus("10de:22a3", "0x068000")
    assert nvswitch.board(TABLES["nvswitch"], root=root) == "hgx-hopper"
    (tmp_path / "0000:00:00.0/driver").symlink_to("../../../bus/pci/drivers/vfio-pci")
    assert nvswitch.board(TABLES["nvswitch"], root=root) == ""


@pytest.mark.parametrize(
    ("source", "manager", "branch", "names"),
    [
        ("nvidia", "apt", "580", ["nvidia-fabricmanager"]),
        ("nvidia", "apt", "570", ["nvidia-fabricmanager-570"]),
        ("nvidia", "dnf", "570", ["nvidia-fabric-manager"]),
        ("distribution", "apt", "595", ["nvidia-fabricmanager-595"]),
        ("distribution", "dnf", "595", []),
    ],
)
def test_names_of_fabric_manager(source, manager, branch, names):
    found, missing = nvswitch.packages(TABLES["nvswitch_packages"], source, manager, ["fabricmanager"], branch)
    assert [package["name"] for package in found] == names and missing == ([] if names else ["fabricmanager"])


def test_boards_need_what_packages_are_known_for():
    for row in TABLES["nvswitch"].values():
        for manager in ("apt", "dnf"):
            found, missing = nvswitch.packages(TABLES["nvswitch_packages"], "nvidia", manager, row["needs"], "580")
            assert not missing and sum(not package["own_version"] for package in found) >= 1


def test_preflight_refuses_with_what_works(bus):
    bus("10de:1db4")
    (finding,) = desired(bus("10de:1eb8"), branch="595").findings()
    assert finding["verdict"] == "fail" and "V100" in finding["seen"] and "580" in finding["fix"]
    (finding,) = desired(bus("10de:1eb8")).findings()
    assert finding["verdict"] == "pass" and "proprietary kernel module" in finding["seen"]


def test_host_without_gpu_has_nothing_to_say(tmp_path):
    assert desired(str(tmp_path)).findings() == [] and nvidia_host.pci_gpus(str(tmp_path)) == []


def test_unknown_gpu_is_taken_for_a_new_one(bus):
    assert desired(bus("10de:ffff")).facts()["kernel_module"] == "open"


def test_facts_without_a_preflight(call, monkeypatch, bus):
    root = bus("10de:1db4")
    monkeypatch.setattr(preflight_driver.Wanted.__init__, "__defaults__", (root,))
    driver = {"branch": "580", "kernel_module": "auto", "source": "nvidia", "packages": "apt"} | TABLES
    facts = call("nvidia_gpus", gpus=driver.pop("gpus"), driver=driver)["ansible_facts"]["ansible_nvidia_host"]
    assert (facts["kernel_module"], facts["gpus"]) == ("proprietary", ["10de:1db4"])
