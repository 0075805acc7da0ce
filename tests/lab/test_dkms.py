"""The stand-in dkms and mokutil: modules per kernel, signed with the machine's own key, and the key's enrolment."""

import shutil
import subprocess
import sys

import pytest

from tests.lab import kernel
from tests.lab.programs import load

RUNNING, NEXT = "6.12.48+deb13-amd64", "6.12.49+deb13-amd64"
pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl signs the modules")


@pytest.fixture
def dkms(tmp_path, monkeypatch):
    """dkms on a server with two kernels, of which the running one has headers, and the source of one module."""
    module = load("server/packages/dkms/usr/sbin/dkms")
    places = {
        "TREE": "dkms",
        "SOURCES": "src",
        "MODULES": "modules",
        "KEY": "dkms/mok.key",
        "CERTIFICATE": "dkms/mok.pub",
    }
    for name, path in places.items():
        monkeypatch.setattr(module, name, tmp_path / path)
    (tmp_path / "dkms").mkdir()
    (tmp_path / "src/nvidia-580.173.02").mkdir(parents=True)
    (tmp_path / "src/nvidia-580.173.02/nvidia.ko").write_bytes(b"module")
    (tmp_path / f"modules/{RUNNING}/build").mkdir(parents=True)
    (tmp_path / f"modules/{NEXT}").mkdir()
    real = subprocess.run
    monkeypatch.setattr(
        module.subprocess, "run", lambda command, **how: None if command[0] == "depmod" else real(command, **how)
    )
    monkeypatch.setattr(module.os, "uname", lambda: type("Uname", (), {"release": RUNNING, "machine": "x86_64"}))
    module.call = lambda *arguments: (monkeypatch.setattr(sys, "argv", ["dkms", *arguments]), module.main())
    return module


def test_a_module_is_built_signed_and_installed_for_the_running_kernel(dkms, tmp_path, capsys):
    dkms.call("install", "nvidia/580.173.02")
    content = (tmp_path / f"modules/{RUNNING}/updates/dkms/nvidia.ko").read_bytes()
    assert content.startswith(b"module") and content.endswith(dkms.MAGIC)
    length = int.from_bytes(content[-len(dkms.MAGIC) - 4 : -len(dkms.MAGIC)], "big")
    assert len(content) == len(b"module") + length + 12 + len(dkms.MAGIC)
    capsys.readouterr()
    dkms.call("status")
    assert capsys.readouterr().out == f"nvidia/580.173.02, {RUNNING}, x86_64: installed\n"


def test_a_kernel_without_headers_gets_no_module_until_they_come(dkms, tmp_path, capsys):
    dkms.call("install", "-m", "nvidia", "-v", "580.173.02")
    with pytest.raises(SystemExit) as ended:
        dkms.call("install", "nvidia/580.173.02", "-k", NEXT)
    assert ended.value.code == 21
    assert f"linux-headers-{NEXT}" in capsys.readouterr().err
    dkms.call("autoinstall", "-k", NEXT)
    assert not (tmp_path / f"modules/{NEXT}/updates").exists()
    (tmp_path / f"modules/{NEXT}/build").mkdir()
    dkms.call("autoinstall", "-k", NEXT)
    assert (tmp_path / f"modules/{NEXT}/updates/dkms/nvidia.ko").exists()


def test_a_removed_module_leaves_no_file_in_any_kernel(dkms, tmp_path, capsys):
    (tmp_path / f"modules/{NEXT}/build").mkdir()
    for release in (RUNNING, NEXT):
        dkms.call("install", "nvidia/580.173.02", "-k", release)
    dkms.call("remove", "nvidia/580.173.02", "--all")
    assert not list((tmp_path / "modules").rglob("*.ko"))
    capsys.readouterr()
    dkms.call("status")
    assert capsys.readouterr().out == ""


def test_a_key_is_asked_for_with_import_and_known_to_test_key(dkms, tmp_path, monkeypatch, capsys):
    dkms.ensure_key()
    (tmp_path / "kernel").mkdir()
    firmware = kernel.load(tmp_path / "kernel", monkeypatch)["secure_boot"]
    mokutil, key = load("server/overlay/usr/local/sbin/mokutil"), str(dkms.CERTIFICATE)
    monkeypatch.setattr(mokutil, "secure_boot", firmware)
    assert mokutil.main(["--test-key", key]) == 0
    assert mokutil.main(["--import", key, "--root-pw"]) == 0
    assert firmware.certificates("MokNew") == [dkms.CERTIFICATE.read_bytes()]
    assert firmware.certificates("MokListRT") == []  # only the console of the next boot enrols it
    assert mokutil.main(["--test-key", key]) == 1
    assert mokutil.main(["--list-new"]) == 0
    shown = capsys.readouterr().out
    assert "is not enrolled" in shown and "is already enrolled" in shown and "DKMS module signing key" in shown


@pytest.mark.parametrize(("value", "words"), [(b"\1", "SecureBoot enabled"), (b"\0", "SecureBoot disabled")])
def test_the_state_is_what_the_firmware_says(tmp_path, monkeypatch, capsys, value, words):
    firmware = kernel.load(tmp_path, monkeypatch)["secure_boot"]
    mokutil = load("server/overlay/usr/local/sbin/mokutil")
    monkeypatch.setattr(mokutil, "secure_boot", firmware)
    firmware.write("SecureBoot", firmware.GLOBAL, value)
    assert mokutil.main(["--sb-state"]) == 0
    assert capsys.readouterr().out.strip() == words


def test_an_enrolled_key_s_serial_is_what_modinfo_calls_the_signature_s_key(dkms, tmp_path, monkeypatch):
    """So that the simulated kernel can compare the two."""
    (tmp_path / "kernel").mkdir()
    firmware = kernel.load(tmp_path / "kernel", monkeypatch)["secure_boot"]
    dkms.call("install", "nvidia/580.173.02")
    serial = firmware.serial(dkms.CERTIFICATE.read_bytes())
    content = (tmp_path / f"modules/{RUNNING}/updates/dkms/nvidia.ko").read_bytes()
    assert bytes.fromhex(serial) in content
