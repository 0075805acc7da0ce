"""The simulated PCI bus: what lspci and a driver would read there, for cards and for boards."""

import json

import pytest

from lab import hardware
from lab.hardware import gpus, pci
from lab.home import Home
from lab.shell import LabError

T4 = gpus.parse("t4")


def test_the_tree_says_what_pci_says_of_a_t4(tmp_path):
    pci.write_tree(tmp_path, gpus.describe("lab-gpu1", T4))
    device = tmp_path / "0000:3b:00.0"
    read = {name: (device / name).read_text() for name in ("vendor", "device", "class", "subsystem_device")}
    assert read == {
        "vendor": "0x10de\n",
        "device": "0x1eb8\n",
        "class": "0x030200\n",
        "subsystem_device": "0x12a2\n",
    }
    config = (device / "config").read_bytes()
    assert len(config) == 256
    assert config[:4] == bytes.fromhex("de10b81e")  # little-endian vendor and device
    assert config[8:12] == bytes.fromhex("a1000203")  # revision, then class 0x030200


def test_cards_of_one_server_have_their_own_addresses_and_uuids():
    cards = gpus.describe("lab-gpu1", gpus.parse("l4:2,t4"))
    assert [card["name"] for card in cards] == ["NVIDIA L4", "NVIDIA L4", "Tesla T4"]
    assert len({card["bus_id"] for card in cards}) == len({card["uuid"] for card in cards}) == 3
    assert gpus.describe("lab-gpu1", T4) == gpus.describe("lab-gpu1", T4)
    assert gpus.describe("lab-gpu2", T4)[0]["uuid"] != gpus.describe("lab-gpu1", T4)[0]["uuid"]


def test_a_rewritten_tree_keeps_its_directory_and_nothing_old(tmp_path):
    pci.write_tree(tmp_path, gpus.describe("x", gpus.parse("t4:2")))
    inode = tmp_path.stat().st_ino
    pci.write_tree(tmp_path, gpus.describe("x", gpus.parse("a10")))
    assert tmp_path.stat().st_ino == inode  # mounted into the server: it must stay the same directory
    assert [json.loads((path / "simulated.json").read_text())["name"] for path in tmp_path.iterdir()] == ["NVIDIA A10"]


@pytest.mark.parametrize("text", ["rtx", "t4:0", "t4:x", "t4:", "t4,", "l4:17", "hgx-h100:2", "hgx-h100,t4"])
def test_what_cannot_be_simulated_is_refused(text):
    with pytest.raises(LabError) as refusal:
        gpus.parse(text)
    assert refusal.value.fix


@pytest.mark.parametrize("model", gpus.TABLE)
def test_each_gpu_is_described_in_full(model):
    row = gpus.TABLE[model]
    assert set(row) == set(gpus.TABLE["t4"])
    assert row["open"] or row["proprietary"]
    assert {row["gen"], row["idle_gen"]} <= set(pci.LINK_SPEEDS)
    old = row["generation"] in ("pascal", "volta", "turing")
    health = gpus.describe("x", gpus.Hardware([model]))[0]["health"]
    assert (health["retired_pages.pending"] == "No") == old
    assert (health["remapped_rows.pending"] == "No") == (not old)


def test_a_board_has_eight_gpus_and_its_switches(tmp_path):
    has = gpus.parse("hgx-h100")
    assert has.models == ["h100"] * 8
    pci.write_tree(tmp_path, gpus.describe("x", has), gpus.bridges(has.board))
    kinds = [(path / "class").read_text().strip() for path in sorted(tmp_path.iterdir())]
    assert kinds == ["0x068000"] * 4 + ["0x030200"] * 8
    assert (tmp_path / "0000:05:00.0/device").read_text() == "0x22a3\n"
    assert (tmp_path / "0000:05:00.0/config").read_bytes()[:4] == bytes.fromhex("de10a322")


def test_nvlink_5_switches_are_seen_as_infiniband_functions_only(tmp_path):
    mounts = hardware.install(Home(tmp_path), "x", gpus.parse("hgx-b200"))
    server = tmp_path / "servers/x"
    assert [mount.partition("=")[2].split(":")[0] for mount in mounts] == [
        str(server / "pci"),
        str(server / "hardware"),
    ]
    functions = [path for path in (server / "pci").iterdir() if (path / "vpd").exists()]
    assert len(functions) == 4
    assert all(b"SW_MNG" in (path / "vpd").read_bytes() for path in functions)
    assert not [path for path in (server / "pci").iterdir() if (path / "class").read_text().startswith("0x0680")]
    devices = [(path / "device").readlink() for path in sorted((server / "hardware/infiniband").iterdir())]
    assert {path.name for path in devices} == {path.name for path in functions}


@pytest.mark.parametrize("enforced", [True, False])
def test_the_firmware_says_whether_secure_boot_is_enforced(tmp_path, enforced):
    hardware.install(Home(tmp_path), "x", T4._replace(secure_boot=enforced))
    value = (tmp_path / "servers/x/hardware/efi/efivars" / hardware.SECURE_BOOT).read_bytes()
    assert value == b"\x06\0\0\0" + bytes([enforced])
