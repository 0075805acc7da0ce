"""What Debian 13's own programs said about modules, initramfs and keys is read as it should be: tests/samples/README.md."""

import re

import pytest
from ansible.module_utils.boot import initramfs, next_boot
from ansible.module_utils.boot import kernels as boot_kernels
from ansible.module_utils.doctor import driver as doctor_driver

from tests.paths import PROJECT

DEBIAN = PROJECT / "tests/samples/debian13"
OLDER, NEWER = "6.12.117+deb13-amd64", "6.12.118+deb13-amd64"


def sample(name):
    return (DEBIAN / name).read_text()


def test_dkms_status_names_the_driver():
    assert next_boot.DKMS.findall(sample("dkms_status.txt")) == [("nvidia", "580.173.02")] * 2


@pytest.mark.parametrize("built", [True, False])
def test_modules_with_nvidia_in_their_names_are_not_the_driver(tmp_path, built):
    lines = sample("modules_dep.txt").splitlines()
    retained = [line for line in lines if built or not line.startswith("updates/dkms/")]
    assert len(lines) > 3 and any("nvidia" in line for line in retained)
    assert bool(boot_kernels.MODULE.search("\n".join(retained))) is built
    assert any(doctor_driver.MODULE_FILES.search(line.split(":")[0]) for line in retained) is built


def test_an_initramfs_with_nouveau_is_told_from_one_without(tmp_path, program):
    image, blacklist = tmp_path / f"initrd.img-{OLDER}", tmp_path / "nvidia-driver.conf"
    image.touch()
    (tmp_path / "listed").write_text(sample("lsinitramfs.txt"))
    program("lsinitramfs", f"cat {tmp_path}/listed\n")
    assert "etc/modprobe.d/nvidia-driver.conf" in sample("lsinitramfs.txt")
    assert initramfs.stale(OLDER, str(blacklist), "", str(tmp_path)) == "it would load nouveau"
    (tmp_path / "listed").write_text(re.sub(r"(?m)^.*nouveau\.ko.*\n", "", sample("lsinitramfs.txt")))
    assert initramfs.stale(OLDER, str(blacklist), "", str(tmp_path)) == ""


def test_what_a_failed_build_stumbled_over_is_told_and_not_where_to_read(tmp_path):
    log = tmp_path / "nvidia/580.173.02/build/make.log"
    log.parent.mkdir(parents=True)
    log.write_text(sample("dkms_make.log"))
    err = sample("dkms_autoinstall_failed.err")
    reported = next_boot.stumbled(err, "580.173.02", NEWER, str(tmp_path))
    assert "nvidia-uvm.c:20:1: error: unknown type name" in reported
    first = f"Error! Bad return status for module build on kernel: {NEWER} (x86_64)"
    assert next_boot.stumbled(err, "580.173.02", NEWER, str(tmp_path / "none")) == first
    assert next_boot.stumbled(err, "580.173.02", OLDER, str(tmp_path)) == first  # the log is of another kernel
    assert next_boot.stumbled("dkms: not found", "580.173.02", NEWER, str(tmp_path / "none")) == "dkms: not found"
