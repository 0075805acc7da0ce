"""What judges the next boot, beside what the real kernel, DKMS, initramfs-tools and shim then do. No role, no systemd."""

import base64
import lzma

import pytest

from lab.vm import disk, states
from lab.vm.machine import SHIM, Machine
from tests.vm.probe import probe

VERSION = disk.VERSIONS[-1]
REJECTED = "Key was rejected by service"
DKMS_NAME = "DKMS module signing key"

BLACKLIST = """
if [ $phase = 1 ]; then
    told nouveau_before "$(grep -c ^nouveau /proc/modules)"
    cp blacklist /etc/modprobe.d/nvidia-driver.conf
    judge seen 'ready(True)'
    judge done 'ready(False)'
    judge then 'ready(True)'
    told listed "$(lsinitramfs /boot/initrd.img-$K | grep -c '^etc/modprobe.d/nvidia-driver.conf$')"
    sync
    reboot -f
fi
told nouveau_after "$(grep -c ^nouveau /proc/modules)"
told loads "$(modprobe nvidia 2>&1 && cat /sys/module/nvidia/version)"
judge last 'ready(True)'
"""

UPDATE = """
if [ $phase = 1 ]; then
    judge booting_before 'next_kernel.booting()'
    sed -i 's/^set default="1"/set default="0"/' /boot/grub/grub.cfg
    judge booting 'next_kernel.booting()'
    judge missing 'kernels.without_module()'
    judge stranded 'ready(False)'
    apt-get install -q -y --no-install-recommends linux-headers-$(tail -n 1 /srv/kernels)
    dkms status
    judge missing_then 'kernels.without_module()'
    cp blacklist /etc/modprobe.d/nvidia-driver.conf
    judge ready 'ready(False)'
    sync
    reboot -f
fi
told kernel $K
told loads "$(modprobe nvidia 2>&1 && cat /sys/module/nvidia/version)"
judge last 'ready(True)'
"""

SIGNED = """
mokutil --sb-state
mokutil --test-key /var/lib/dkms/mok.pub
judge enabled 'secure_boot.enabled()'
judge enrolled 'secure_boot.enrolled(secure_boot.dkms_key())'
judge signer 'next_kernel.module_signer(K)'
judge trusted 'secure_boot.trusts(next_kernel.module_signer(K), next_kernel.module_key(K))'
judge ready 'ready(False)'
told loads "$(modprobe nvidia 2>&1 && cat /sys/module/nvidia/version)"
"""

ENROL = """
openssl x509 -inform DER -in /var/lib/dkms/mok.pub -out mok.pem
virt-fw-vars --input vars.fd --output new.fd --add-mok @SHIM@ mok.pem
told variables "$(xz -c new.fd | base64 -w 0)"
"""

OTHER_KEY = """
rm /var/lib/dkms/mok.*
dkms generate_mok
file=/lib/modules/$K/updates/dkms/nvidia.ko.xz
xz -dc $file >nvidia.ko
strip -g nvidia.ko
/lib/modules/$K/build/scripts/sign-file sha256 /var/lib/dkms/mok.key /var/lib/dkms/mok.pub nvidia.ko
xz -c nvidia.ko >$file
depmod -a
judge signer_other 'next_kernel.module_signer(K)'
judge trusted_other 'secure_boot.trusts(next_kernel.module_signer(K), next_kernel.module_key(K))'
modprobe -r nvidia
told loads_other "$(modprobe nvidia 2>&1 && cat /sys/module/nvidia/version)"
"""


@pytest.fixture
def machine(built):
    """machine(name, image, ...): a new one, switched off."""
    return lambda name, image, secure_boot=False: Machine(*built, states.folder(built[0], name), secure_boot).create(
        image=image
    )


def test_nouveau_stays_out_once_the_initramfs_was_made_anew(machine, kernels):
    found = probe(machine("blacklist", "driven"), VERSION, BLACKLIST)
    assert found["nouveau_before"] == "1"
    assert found["seen"] == found["done"] == [f"initramfs of {kernels[0]}: it would load nouveau"]
    assert found["then"] == [] and found["listed"] == "1"
    assert found["nouveau_after"] == "0" and found["loads"] == VERSION
    assert found["last"] == []


def test_a_newer_kernel_is_judged_without_headers_and_with_them_and_boots(machine, kernels):
    older, newer = kernels
    found = probe(machine("update", "updated"), VERSION, UPDATE)
    assert found["booting_before"] == older and found["booting"] == newer
    assert found["missing"] == newer
    assert f"kernel {newer} boots next and has no NVIDIA module" in found["stranded"]["what"]
    assert f"linux-headers-{newer}" in found["stranded"]["fix"]
    assert f"nvidia/{VERSION}, {newer}, x86_64: installed" in found["console"]
    assert found["missing_then"] == ""
    assert found["ready"] == [f"initramfs of {kernel}: it would load nouveau" for kernel in kernels]
    assert found["kernel"] == newer and found["loads"] == VERSION and found["last"] == []


def test_secure_boot_takes_what_was_judged_so_and_refuses_the_rest(machine):
    server = machine("secure", "driven", secure_boot=True)
    found = probe(server, VERSION, SIGNED + ENROL.replace("@SHIM@", SHIM))
    assert found["enabled"] is True and found["signer"] == DKMS_NAME
    assert found["enrolled"] is False and found["trusted"] is False
    assert "mokutil --import /var/lib/dkms/mok.pub" in found["ready"]["fix"]
    assert REJECTED in found["loads"]
    # What a person does at the console after mokutil --import.
    (server.folder / "vars.fd").write_bytes(lzma.decompress(base64.b64decode(found["variables"])))
    found = probe(server, VERSION, SIGNED + OTHER_KEY)
    assert found["enrolled"] is True and found["trusted"] is True
    assert found["loads"] == VERSION
    assert found["signer_other"] == DKMS_NAME and found["trusted_other"] is False
    assert REJECTED in found["loads_other"]
