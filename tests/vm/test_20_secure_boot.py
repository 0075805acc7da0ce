"""Secure Boot with Debian's shim and kernel: what the kernel does with DKMS's module, and that it was judged so before."""

import pytest

from lab.vm import disk, states

VERSION = disk.VERSIONS[-1]
KEY = "/var/lib/dkms/mok.pub"
JUDGED = "secure_boot.trusts(next_kernel.module_signer(K), next_kernel.module_key(K))"
REJECTED = "Key was rejected by service"


@pytest.fixture(scope="module")
def server(built, host):
    """The machine of the first story, with Secure Boot switched on in its firmware and no key of its own enrolled."""
    base = states.folder(built[0], "story")
    if not (base / "whole").exists():
        pytest.skip("tests/vm/test_10_real_kernel.py leaves the machine that this begins with")
    return host("secure", base, secure_boot=True)


@pytest.fixture
def trusted(server):
    """trusted(): whether the judge says that the running kernel would take the module."""
    return lambda: server.judged(JUDGED.replace("K", f'"{server.reported("uname -r")}"'))


def loads(server):
    """What modprobe says; "" where the module is in the kernel."""
    done = server.machine.shell("modprobe -r nvidia-uvm nvidia; modprobe nvidia")
    return done.stderr if done.returncode else ""


def test_a_key_that_nobody_enrolled_is_seen_before_the_kernel_refuses_it(server, trusted):
    assert server.judged("secure_boot.enabled()") is True
    assert server.judged("secure_boot.dkms_key()") == KEY
    assert server.judged(f'secure_boot.enrolled("{KEY}")') is False
    assert trusted() is False
    failed = server.module("nvidia_driver_load", version=VERSION)
    assert failed["failed"] and "would refuse the NVIDIA module, signed by DKMS module signing key" in failed["msg"]
    assert f"mokutil --import {KEY}" in failed["fix"]
    assert REJECTED in loads(server)


def test_an_enrolled_key_is_taken(server, trusted):
    server.machine.enrol(KEY)
    assert server.judged("secure_boot.enabled()") is True
    assert server.judged(f'secure_boot.enrolled("{KEY}")') is True
    assert trusted() is True
    loaded = server.module("nvidia_driver_load", version=VERSION)
    assert loaded["loaded_version"] == VERSION, loaded


def test_another_key_of_the_same_name_is_not_the_enrolled_one(server, trusted):
    kernel = server.reported("uname -r")
    server.reported("rm /var/lib/dkms/mok.*")
    server.reported(
        f"dkms build --force nvidia/{VERSION} -k {kernel} && dkms install --force nvidia/{VERSION} -k {kernel}"
    )
    assert server.judged(f'next_kernel.module_signer("{kernel}")') == "DKMS module signing key"
    assert trusted() is False
    assert REJECTED in loads(server)
