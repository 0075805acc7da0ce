"""What a host with NVSwitches is asked, and how its answer reads."""

import subprocess
from pathlib import Path

import pytest

from dgctl.verify import fabric
from tests.verify.world import FABRIC, VERSION


@pytest.fixture
def devices(tmp_path: Path):
    """devices(*ids, vpd=...): what the question answers on a host with these PCI devices and no NVIDIA program."""

    def ask(*ids: str, vpd: str = "") -> list[str]:
        for number, one in enumerate(ids):
            folder = tmp_path / f"0000:{number:02x}:00.0"
            folder.mkdir()
            vendor, device = one.split(":")
            for name, text in {"vendor": f"0x{vendor}", "device": f"0x{device}", "vpd": vpd}.items():
                (folder / name).write_text(text + "\n")
        script = fabric.question().replace("/sys/bus/pci/devices", str(tmp_path))
        return subprocess.run(
            ["/bin/sh", "-c", script], capture_output=True, text=True, check=False
        ).stdout.splitlines()

    return ask


def test_host_without_switches_answers_nothing(devices) -> None:
    assert devices("10de:2330", "15b3:1021", "8086:1234", vpd="ConnectX") == []
    assert fabric.read([]) == fabric.Fabric()


def test_switches_on_the_bus(devices) -> None:
    seen = fabric.read(devices("10de:2330", "10de:22a3", "10de:22a3"))
    assert seen.board == "HGX H100 or H200" and seen.unit != "active" and seen.version == "" and seen.states == ()


def test_switches_behind_network_functions(devices) -> None:
    assert fabric.read(devices("10de:2901", "15b3:1021", vpd="x SW_MNG y")).board == "HGX B200"


def test_answer_of_a_healthy_board() -> None:
    seen = fabric.read(FABRIC.splitlines())
    assert (seen.unit, seen.version, len(seen.states), seen.outside()) == ("active", VERSION, 2, [])


@pytest.mark.parametrize("none", ["[N/A]", "N/A"])
def test_boards_before_hopper_tell_no_state(none) -> None:
    none = f"{none}, {none}"
    old = [line.replace("22a3", "1af1").replace("Completed, Success", none) for line in FABRIC.splitlines()]
    assert fabric.read(old).outside() == []
    new = [line.replace("1af1", "22a3") for line in old]
    assert len(fabric.read(new).outside()) == 2
