"""The judges of the next boot beside Debian's own DKMS, kernel packages and initramfs-tools; nothing boots for that."""

from lab.vm import disk
from tests.vm.probe import inside

VERSION = disk.VERSIONS[-1]

INITRAMFS = """
judge seen 'ready(True)'
judge nouveau 'initramfs.stale(K, "/etc/modprobe.d/nvidia-driver.conf")'
cp blacklist /etc/modprobe.d/nvidia-driver.conf
judge done 'ready(False)'
judge then 'ready(True)'
told listed "$(lsinitramfs /boot/initrd.img-$K | grep -c '^etc/modprobe.d/nvidia-driver.conf$')"
told serial "$(openssl x509 -inform DER -in /var/lib/dkms/mok.pub -noout -serial | cut -d= -f2)"
judge key 'next_kernel.module_key(K)'
judge signer 'next_kernel.module_signer(K)'
"""

UPDATE = """
cp blacklist /etc/modprobe.d/nvidia-driver.conf
judge booting_before 'next_kernel.booting()'
sed -i 's/^set default="1"/set default="0"/' /boot/grub/grub.cfg
judge booting 'next_kernel.booting()'
judge missing 'kernels.without_module()'
judge stranded 'ready(False)'
newer=$(tail -n 1 /srv/kernels)
apt-get install -q -y --no-install-recommends linux-headers-$newer
judge by_dkms 'kernels.without_module()'
dkms remove nvidia/@VERSION@ -k $newer
judge removed 'kernels.without_module()'
source=/usr/src/nvidia-@VERSION@/nvidia-uvm.c
cp $source saved.c
echo 'this is no C' >>$source
judge broken 'ready(False)'
cp saved.c $source
judge built 'ready(False)'
judge last 'ready(True)'
dkms status
"""


def test_the_initramfs_and_the_key(built, kernels, tmp_path):
    found = inside(built[1] / "driven.img", tmp_path, VERSION, kernels[0], INITRAMFS)
    assert found["nouveau"] == "it would load nouveau"
    assert found["seen"] == found["done"] == [f"initramfs of {kernels[0]}: it would load nouveau"]
    assert found["then"] == [] and found["listed"] == "1"
    assert found["signer"] == "DKMS module signing key"
    assert found["key"].replace(":", "") == found["serial"] != ""


def test_a_newer_kernel_without_headers_with_them_and_with_a_build_that_fails(built, kernels, tmp_path):
    older, newer = kernels
    script = UPDATE.replace("@VERSION@", VERSION)
    found = inside(built[1] / "updated.img", tmp_path, VERSION, older, script)
    assert found["booting_before"] == older and found["booting"] == newer
    assert found["missing"] == newer
    assert f"kernel {newer} boots next and has no NVIDIA module" in found["stranded"]["what"]
    assert f"linux-headers-{newer}" in found["stranded"]["fix"]
    assert found["by_dkms"] == "" and found["removed"] == newer
    assert "nvidia-uvm.c" in found["broken"]["what"] and "error: unknown type name" in found["broken"]["what"]
    assert found["built"][0] == f"module for kernel {newer}" and found["last"] == []
    assert f"nvidia/{VERSION}, {newer}, x86_64: installed" in found["console"]
