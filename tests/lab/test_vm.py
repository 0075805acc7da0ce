"""What the virtual machine is made of; the machine itself runs in tests/vm."""

import shutil
import subprocess
from pathlib import Path

import pytest

from lab.home import Home
from lab.vm import disk
from lab.vm.machine import FIRMWARE, Machine


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb packs the stand-ins")
def test_the_packages_carry_the_source_that_dkms_builds(tmp_path):
    disk._stand_ins(tmp_path / "out")
    version = disk.VERSIONS[-1]
    package = tmp_path / f"out/nvidia-kernel-open-dkms_{version}-1_amd64.deb"
    subprocess.run(["dpkg-deb", "-R", package, tmp_path / "tree"], check=True)
    source = tmp_path / f"tree/usr/src/nvidia-{version}"
    assert sorted(path.name for path in source.iterdir()) == ["Makefile", "dkms.conf", "nvidia-uvm.c", "nvidia.c"]
    assert f'PACKAGE_VERSION="{version}"' in (source / "dkms.conf").read_text()
    assert "@" not in (source / "Makefile").read_text().replace("$@", "")
    script = tmp_path / "tree/DEBIAN/postinst"
    assert f"common.postinst nvidia {version}" in script.read_text() and script.stat().st_mode & 0o111
    names = {path.name.split("_")[0] for path in (tmp_path / "out").glob("*.deb")}
    assert {"nvidia-open", f"nvidia-driver-pinning-{version.split('.')[0]}"} < names


def test_the_machine_is_reached_on_loopback_alone_and_reaches_nothing():
    machine = Machine(Home(Path("/none")), Path("/none/disk"), Path("/none/folder"), port=2201)
    command = machine._command()
    network = next(word for word in command if word.startswith("user,"))
    assert network == "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:2201-:22"
    assert f"if=pflash,unit=0,format=raw,readonly=on,file=/none/disk/{FIRMWARE}" in command
