"""The simulated kernel: which GPUs a driver takes, what it leaves in the log, and how a GPU's health changes."""

import json

import pytest

from lab import hardware
from lab.hardware import gpus, pci
from tests.lab import kernel

OPEN, PROPRIETARY = True, False


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A function that gives this server such GPUs and loads such a driver; it has the kernel's modules as attributes."""
    modules = kernel.load(tmp_path, monkeypatch)

    def boot(text, version="580.173.02", flavour=OPEN):
        has = gpus.parse(text)
        pci.write_tree(tmp_path / "pci", gpus.describe("x", has), gpus.bridges(has.board))
        modules["core"].load(version, flavour)

    boot.__dict__.update(modules, log=lambda: (tmp_path / "log").read_text(), root=tmp_path)
    return boot


def shown(server):
    return json.loads((server.root / "state/gpus.json").read_text())["gpus"]


@pytest.mark.parametrize(
    ("gpu", "version", "flavour", "words"),
    [
        ("v100", "580.173.02", OPEN, "does not include the required GPU"),
        ("p40", "570.172.08", OPEN, "does not include the required GPU"),
        ("v100", "595.91.07", PROPRIETARY, "supported through the NVIDIA 580.xx Legacy drivers"),
        ("b200", "550.163.01", OPEN, "is not supported by the"),
    ],
)
def test_a_driver_that_takes_no_gpu_does_not_load(server, gpu, version, flavour, words):
    with pytest.raises(kernel.Refused, match="could not insert 'nvidia': No such device"):
        server(gpu, version, flavour)
    assert words in server.log()
    assert not (server.root / "module/nvidia").exists()


def test_a_proprietary_module_takes_a_blackwell_and_cannot_start_it(server):
    server("b200", flavour=PROPRIETARY)
    assert [card["initialised"] for card in shown(server)] == [False]
    assert "requires use of the NVIDIA open kernel modules" in server.log()
    assert "RmInitAdapter failed!" in server.log()
    assert "GPU-????????" in (server.root / "proc/nvidia/gpus/0000:3b:00.0/information").read_text()


@pytest.mark.parametrize(("gpu", "flavour"), [("v100", PROPRIETARY), ("t4", OPEN), ("t4", PROPRIETARY), ("b200", OPEN)])
def test_the_right_module_starts_the_gpu_and_says_nothing_bad(server, gpu, flavour):
    server(gpu, flavour=flavour)
    assert [card["initialised"] for card in shown(server)] == [True]
    assert "<3>" not in server.log() and "Xid" not in server.log()


def test_a_mixed_server_keeps_the_gpus_that_the_module_can_drive(server):
    server("v100,t4")
    assert [card["name"] for card in shown(server)] == ["Tesla T4"]
    assert (server.root / "dev/nvidia0").exists() and not (server.root / "dev/nvidia1").exists()


def test_a_gpu_that_nouveau_has_is_not_taken(server):
    has = gpus.parse("t4")
    pci.write_tree(server.root / "pci", gpus.describe("x", has))
    server.places.bind("0000:3b:00.0", "nouveau")
    with pytest.raises(kernel.Refused, match="No such device"):
        server.core.load("580.173.02", OPEN)
    assert "nouveau, rivafb, nvidiafb or rivatv" in server.log()


def test_nvswitches_are_shown_on_boards_that_have_them_on_the_bus(server):
    server("hgx-h100")
    assert len(list((server.root / "proc/nvidia-nvswitch/devices").iterdir())) == 4
    assert (server.root / "dev/nvidia-nvswitchctl").exists()
    assert (server.root / "state/fabric-needed").exists()


def test_nvlink_5_switches_are_not_on_the_bus(server):
    server("hgx-b200")
    assert not (server.root / "proc/nvidia-nvswitch").exists()
    assert (server.root / "state/fabric-needed").exists()


def test_health_is_kept_with_the_device_and_shown_at_once(server):
    server("t4:2")
    server.health.set_value("0000:43:00.0", "retired_pages.pending", "Yes")
    assert [card["health"]["retired_pages.pending"] for card in shown(server)] == ["No", "Yes"]
    with pytest.raises(kernel.Refused):
        server.health.set_value("0000:43:00.0", "colour", "green")


def test_a_narrower_link_and_a_missing_gpu_are_seen_after_a_refresh(server):
    server("t4:2")
    (server.root / "pci/0000:43:00.0/current_link_width").write_text("8\n")
    server.core.refresh()
    assert [card["link_width"] for card in shown(server)] == [16, 8]
    for path in (server.root / "pci/0000:3b:00.0").iterdir():
        path.unlink()
    (server.root / "pci/0000:3b:00.0").rmdir()
    server.core.refresh()
    assert [(card["bus_id"], card["minor"]) for card in shown(server)] == [("0000:43:00.0", 0)]


def test_mig_waits_while_a_program_uses_the_gpu_and_a_reset_makes_it_so(server, monkeypatch):
    server("h100")
    monkeypatch.setattr(server.core, "users", lambda: {"7": "impeller"})
    with pytest.raises(kernel.Refused, match="In use by another client"):
        server.health.mig("0000:3b:00.0", "Enabled")
    health = shown(server)[0]["health"]
    assert (health["mig.mode.current"], health["mig.mode.pending"]) == ("Disabled", "Enabled")
    with pytest.raises(kernel.Refused):
        server.health.reset("0000:3b:00.0")
    monkeypatch.setattr(server.core, "users", lambda: {"8": "nvidia-persiste"})
    server.health.reset("0000:3b:00.0")
    assert shown(server)[0]["health"]["mig.mode.current"] == "Enabled"


def test_a_lost_gpu_cannot_be_reset(server, monkeypatch):
    server("t4")
    monkeypatch.setattr(server.core, "users", dict)
    server.health.set_value("0000:3b:00.0", "lost", "true")
    with pytest.raises(kernel.Refused):
        server.health.reset("0000:3b:00.0")


def test_a_library_of_another_version_is_noted_in_the_log(server):
    server("t4")
    (server.root / "module/nvidia").mkdir(exist_ok=True)
    server.health.client("580.173.02")
    assert "API mismatch" not in server.log()
    server.health.client("580.95.05")
    assert "API mismatch: the client has the version 580.95.05" in server.log()


@pytest.mark.parametrize(
    ("enforced", "key", "enrolled", "refused"),
    [(False, "", False, False), (True, "", False, True), (True, "AB:CD", False, True), (True, "AB:CD", True, False)],
)
def test_secure_boot_wants_an_enrolled_key(server, monkeypatch, enforced, key, enrolled, refused):
    firmware = server.secure_boot
    (firmware.EFIVARS / hardware.SECURE_BOOT).write_bytes(b"\6\0\0\0" + bytes([enforced]))
    if enrolled:
        lists = firmware.signature_list(b"another certificate") + firmware.signature_list(b"certificate")
        firmware.write("MokListRT", firmware.SHIM, lists)
        assert firmware.certificates("MokListRT") == [b"another certificate", b"certificate"]
    monkeypatch.setattr(firmware, "modinfo", lambda module, field: key)
    monkeypatch.setattr(firmware, "serial", lambda certificate: "ABCD" if certificate == b"certificate" else "00")
    assert firmware.refused("nvidia") is refused
