"""The simulated PCI bus: what lspci and a driver would read there."""

import json

import pytest

from lab import gpus
from lab.shell import LabError


def test_the_tree_says_what_pci_says_of_a_t4(tmp_path):
    gpus.write_tree(tmp_path, gpus.describe("lab-gpu1", ["t4"]))
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
    assert gpus.describe("lab-gpu1", ["t4"]) == gpus.describe("lab-gpu1", ["t4"])
    assert gpus.describe("lab-gpu2", ["t4"])[0]["uuid"] != gpus.describe("lab-gpu1", ["t4"])[0]["uuid"]


def test_a_rewritten_tree_keeps_its_directory_and_nothing_old(tmp_path):
    gpus.write_tree(tmp_path, gpus.describe("x", ["t4", "t4"]))
    inode = tmp_path.stat().st_ino
    gpus.write_tree(tmp_path, gpus.describe("x", ["a10"]))
    assert tmp_path.stat().st_ino == inode  # mounted into the server: it must stay the same directory
    assert [json.loads((path / "simulated.json").read_text())["name"] for path in tmp_path.iterdir()] == ["NVIDIA A10"]


@pytest.mark.parametrize("text", ["rtx", "t4:0", "t4:x", "t4:", "t4,", "l4:17"])
def test_what_cannot_be_simulated_is_refused(text):
    with pytest.raises(LabError) as refusal:
        gpus.parse(text)
    assert refusal.value.fix
