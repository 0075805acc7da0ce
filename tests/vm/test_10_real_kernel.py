"""The role's promises about the next boot on a machine that really boots: DKMS, initramfs, modprobe.d, a kernel update."""

import pytest

from lab.vm import disk, states

VERSION = disk.VERSIONS[-1]
BLACKLIST = "/etc/modprobe.d/nvidia-driver.conf"
READY = f'next_boot.ready("{VERSION}", "{BLACKLIST}", True)'
GOT = "initramfs: a GPU got: "


@pytest.fixture(scope="module")
def server(built, host):
    """One machine whose story the tests tell in order, from a kernel without a driver."""
    return host("story", states.sealed(*built))


def got(server):
    """What the initramfs loaded for a GPU at each boot, oldest first."""
    return [line.partition(GOT)[2].strip() for line in server.console().splitlines() if GOT in line]


def test_before_the_role_nouveau_takes_the_gpu_in_the_initramfs(server, kernels):
    assert server.reported("uname -r") == kernels[0]
    assert got(server)[-1] == "nouveau"
    assert server.judged("next_kernel.booting()") == kernels[0]
    assert server.judged(f'next_kernel.has_headers("{kernels[0]}")') is False


def test_the_role_installs_builds_and_loads(server, kernels):
    done = server.role()
    assert done.returncode == 0, done.stdout
    assert f"nvidia/{VERSION}, {kernels[0]}, x86_64: installed" in server.reported("dkms status")
    assert server.reported("cat /sys/module/nvidia/version") == VERSION
    assert server.reported("lsmod | grep -c ^nouveau; true") == "0"
    assert server.judged(READY) == []
    again = server.role()
    assert again.returncode == 0 and "changed=0" in again.stdout, again.stdout


def test_the_initramfs_has_what_keeps_nouveau_out(server, kernels):
    listed = server.reported(f"lsinitramfs /boot/initrd.img-{kernels[0]}").splitlines()
    assert BLACKLIST[1:] in listed
    assert server.judged(f'initramfs.stale("{kernels[0]}", "{BLACKLIST}")') == ""


def test_ansible_sees_the_reboot_and_nouveau_stays_out(server):
    before = server.reported("cat /proc/sys/kernel/random/boot_id")
    done = server.playbook("reboot.yml")
    assert done.returncode == 0, done.stdout
    assert server.reported("cat /proc/sys/kernel/random/boot_id") != before
    assert got(server)[-1] in ("nvidia", "none")
    assert server.reported("lsmod | grep -c ^nouveau; true") == "0"
    loaded = server.module("nvidia_driver_load", version=VERSION)
    assert loaded["loaded_version"] == VERSION and loaded["prepared"] == []


def test_a_newer_kernel_finds_the_headers_that_the_role_brought_for_it(server, kernels):
    newer = kernels[1]
    server.reported("DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends linux-image-amd64")
    assert server.judged("next_kernel.booting()") == newer
    assert server.judged("kernels.without_module()") == ""
    assert server.judged(f'next_kernel.module_version("{newer}")') == VERSION
    assert server.judged(READY) == []


def test_without_headers_a_newer_kernel_is_seen_before_it_boots(server, kernels):
    newer = kernels[1]
    server.reported(f"dkms remove nvidia/{VERSION} -k {newer}")
    server.reported(f"dpkg --purge --force-depends linux-headers-amd64 linux-headers-{newer}")
    assert server.judged("kernels.without_module()") == newer
    assert server.judged(f'next_kernel.module_version("{newer}")') == ""
    failed = server.module("nvidia_driver_load", version=VERSION)
    assert failed["failed"] and f"linux-headers-{newer}" in failed["fix"], failed
    assert server.reported("cat /sys/module/nvidia/version") == VERSION  # what runs was not touched


def test_the_role_has_the_module_built_and_the_next_boot_finds_it(server, kernels):
    newer = kernels[1]
    done = server.role()
    assert done.returncode == 0, done.stdout
    assert f"nvidia/{VERSION}, {newer}, x86_64: installed" in server.reported("dkms status")
    assert server.judged("kernels.without_module()") == "" and server.judged(READY) == []
    server.machine.reboot()
    assert server.reported("uname -r") == newer
    loaded = server.module("nvidia_driver_load", version=VERSION)
    assert loaded["loaded_version"] == VERSION and loaded["prepared"] == []
    assert server.reported("lsmod | grep -c ^nouveau; true") == "0"


def test_the_machine_is_kept_for_the_next_story(server):
    server.machine.power_off()
    (server.machine.folder / "whole").touch()
