"""What the next boot will find: which kernel it is, its NVIDIA module, who signed that, and its initramfs."""

import os
import platform

import pytest
from ansible.module_utils.boot import initramfs, next_boot, next_kernel, secure_boot
from ansible.module_utils.boot import kernels as boot_kernels

RUNNING, COMING, V = platform.release(), "6.13.2-amd64", "580.173.02"
# As grub-mkconfig writes it, shortened.
MENU = """\
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
else
   set default="@DEFAULT@"
fi
function load_video {
  insmod all_video
}
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {
	load_video
	linux	/vmlinuz-6.13.2-amd64 root=UUID=1 ro quiet
	initrd	/initrd.img-6.13.2-amd64
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1' {
	menuentry 'Debian GNU/Linux, with Linux 6.13.2-amd64' $menuentry_id_option 'gnulinux-6.13.2-amd64-advanced-1' {
		linux	/vmlinuz-6.13.2-amd64 root=UUID=1 ro quiet
	}
	menuentry 'Debian GNU/Linux, with Linux 6.12.48-amd64' $menuentry_id_option 'gnulinux-6.12.48-amd64-advanced-1' {
		linux	/vmlinuz-6.12.48-amd64 root=UUID=1 ro quiet
	}
}
"""


@pytest.fixture
def boot(tmp_path, program):
    """A /boot with two kernels; boot(default, environment) adds GRUB's menu."""
    program("grubby", "exit 127\n")
    for name in ("vmlinuz-6.12.48-amd64", "vmlinuz-6.13.2-amd64", "vmlinuz-6.9.1-amd64", "vmlinuz-0-rescue-1"):
        (tmp_path / name).touch()

    def menu(default, environment=""):
        (tmp_path / "grub").mkdir(exist_ok=True)
        (tmp_path / "grub/grub.cfg").write_text(MENU.replace("@DEFAULT@", default))
        (tmp_path / "grub/grubenv").write_text(f"# GRUB Environment Block\n{environment}\n#####")
        return next_kernel.booting(str(tmp_path))

    return menu


def test_kernels_are_ordered_by_number_and_not_by_letter(boot, tmp_path):
    assert next_kernel.installed(str(tmp_path)) == ["6.13.2-amd64", "6.12.48-amd64", "6.9.1-amd64"]
    names = ["6.12-amd64", "6.12~rc7-amd64", "6.12.1-amd64", "5.14.0-570.el9", "5.14.0-570.12.1.el9"]
    assert sorted(names, key=boot_kernels.order) == [names[3], names[4], names[1], names[0], names[2]]


@pytest.mark.parametrize(
    ("default", "environment", "kernel"),
    [
        ("0", "", "6.13.2-amd64"),
        ("1>1", "", "6.12.48-amd64"),
        ("1", "", "6.13.2-amd64"),  # the submenu's first
        ("gnulinux-advanced-1>gnulinux-6.12.48-amd64-advanced-1", "", "6.12.48-amd64"),
        ("Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux 6.12.48-amd64", "", "6.12.48-amd64"),
        ("${saved_entry}", "saved_entry=gnulinux-advanced-1>gnulinux-6.12.48-amd64-advanced-1", "6.12.48-amd64"),
        ("${saved_entry}", "", "6.13.2-amd64"),
        ("0", "next_entry=1>1", "6.12.48-amd64"),
        ("no such entry", "", "6.13.2-amd64"),
    ],
)
def test_the_kernel_that_grub_boots(boot, default, environment, kernel):
    assert boot(default, environment) == kernel


def test_the_newest_where_there_is_no_menu_and_the_running_one_where_there_is_no_kernel(boot, tmp_path):
    assert next_kernel.booting(str(tmp_path)) == "6.13.2-amd64"
    assert next_kernel.booting(str(tmp_path / "none")) == RUNNING


def test_a_menu_of_files_as_enterprise_linux_has_it(boot, tmp_path):
    (tmp_path / "loader/entries").mkdir(parents=True)
    (tmp_path / "loader/entries/abc-6.9.1-amd64.conf").write_text("title x\nlinux /vmlinuz-6.9.1-amd64\n")
    (tmp_path / "grub2").mkdir()
    (tmp_path / "grub2/grubenv").write_text("saved_entry=abc-6.9.1-amd64\n")
    assert next_kernel.booting(str(tmp_path)) == "6.9.1-amd64"


@pytest.mark.parametrize(
    ("listed", "missing"),
    [
        ("", True),
        ("kernel/drivers/net/nvidia-thing.ko: x\nupdates/dkms/nvidia-uvm.ko: updates/dkms/nvidia.ko\n", True),
        ("updates/dkms/nvidia.ko:\n", False),
        ("kernel/nvidia-580srv/nvidia.ko.zst: kernel/x.ko\n", False),
        ("updates/dkms/nvidia-current.ko.xz:\n", False),
    ],
)
def test_a_next_kernel_without_the_module_is_seen_by_a_look(boot, tmp_path, listed, missing):
    (tmp_path / "6.13.2-amd64").mkdir()
    (tmp_path / "6.13.2-amd64/modules.dep").write_text(listed)
    found = boot_kernels.without_module(str(tmp_path), str(tmp_path))
    assert found == ("6.13.2-amd64" if missing else "")
    assert boot_kernels.without_module(str(tmp_path / "none"), str(tmp_path)) == ""  # the running one boots


def test_grubby_knows_better(boot, tmp_path, program):
    program("grubby", "echo /boot/vmlinuz-6.12.48-amd64\n")
    assert next_kernel.booting(str(tmp_path)) == "6.12.48-amd64"


@pytest.mark.parametrize(
    ("reported", "variable", "on"),
    [
        ("SecureBoot enabled", b"\6\0\0\0\0", True),
        ("SecureBoot disabled", b"\6\0\0\0\1", False),
        ("SecureBoot enabled\nSecureBoot validation is disabled in shim", b"", False),
        ("EFI variables are not supported on this system", b"\6\0\0\0\1", True),
        ("EFI variables are not supported on this system", b"\6\0\0\0\0", False),
    ],
)
def test_secure_boot_is_on(tmp_path, program, reported, variable, on):
    program("mokutil", f"echo '{reported}'; case '{reported}' in EFI*) exit 1;; esac\n")
    (tmp_path / "variable").write_bytes(variable)
    assert secure_boot.enabled(str(tmp_path / "variable")) is on
    assert secure_boot.enabled(str(tmp_path / "none")) is (reported == "SecureBoot enabled")


@pytest.mark.parametrize(
    ("signer", "trusted"),
    [
        ("Canonical Ltd. Kernel Module Signing", True),
        ("gpu1 Secure Boot Module Signature key", True),
        ("Build time autogenerated kernel key", True),
        ("DKMS module signing key", False),
        ("", False),
    ],
)
def test_signers(tmp_path, program, signer, trusted):
    program("mokutil", "echo '        Subject: CN=gpu1 Secure Boot Module Signature key'\n")
    keys = tmp_path / "keys"
    keys.write_text("1 I------ 1 perm 1f030000 0 0 asymmetri Build time autogenerated kernel key: 88f7: X509.rsa []\n")
    assert secure_boot.trusts(signer, "", str(keys)) is trusted


LISTED = """\
[key 1]
Certificate:
    Data:
        Version: 3 (0x2)
        Serial Number:
            3f:0a:c2:{end}
        Signature Algorithm: sha256WithRSAEncryption
        Issuer: CN=DKMS module signing key
        Subject: CN=DKMS module signing key
"""


@pytest.mark.parametrize(
    ("end", "serial", "trusted"),
    [
        ("11", "3F:0A:C2:11", True),
        ("22", "3F:0A:C2:11", False),  # DKMS calls each key that it makes the same
        ("22", "", True),  # a signature that does not tell
    ],
)
def test_an_enrolled_key_of_the_same_name_is_not_the_signers(tmp_path, program, end, serial, trusted):
    program("mokutil", f"cat <<'EOF'\n{LISTED.format(end=end)}EOF\n")
    keys = tmp_path / "keys"
    keys.write_text("1 I------ 1 perm 1f030000 0 0 asymmetri DKMS module signing key: 88f7: X509.rsa []\n")
    assert secure_boot.trusts("DKMS module signing key", serial, str(keys)) is trusted


class Host:
    """Modules by kernel, headers, Secure Boot; DKMS builds where there are headers."""

    def __init__(self, monkeypatch, modules, headers=(), secure=False, signer="DKMS module signing key", coming=COMING):
        self.modules, self.headers, self.signer, self.log = dict(modules), headers, signer, []
        self.enrolled, self.other_enrolled, self.stale, self.builds = False, False, {}, V
        monkeypatch.setattr(next_kernel, "booting", lambda: coming)
        monkeypatch.setattr(next_kernel, "module_version", lambda kernel: self.modules.get(kernel, ""))
        monkeypatch.setattr(next_kernel, "module_signer", lambda kernel: self.signer)
        monkeypatch.setattr(next_kernel, "has_headers", lambda kernel: kernel in self.headers)
        monkeypatch.setattr(secure_boot, "enabled", lambda: secure)
        monkeypatch.setattr(next_kernel, "module_key", lambda kernel: "3F:0A")
        monkeypatch.setattr(secure_boot, "trusts", self.trusts)
        monkeypatch.setattr(secure_boot, "enrolled", lambda key: self.other_enrolled)
        monkeypatch.setattr(secure_boot, "dkms_key", lambda: "/x/mok.pub")
        monkeypatch.setattr(initramfs, "stale", lambda kernel, *_: self.stale.get(kernel, ""))
        monkeypatch.setattr(initramfs, "rebuild", lambda kernel: self.log.append(f"initramfs {kernel}") or "")
        monkeypatch.setattr(next_boot, "run", self.run)

    def trusts(self, signer, serial):
        return signer.startswith("Canonical") or (bool(signer) and serial == "3F:0A" and self.enrolled)

    def run(self, argv, timeout=0):
        if argv[:2] == ["dkms", "status"]:
            return 0, f"gdrdrv/2.5.1, {RUNNING}, x86_64: installed\nnvidia/{V}, {RUNNING}, x86_64: installed\n", ""
        if argv[0] == "dkms":
            self.log.append(" ".join(argv))
            if argv[-1] in self.headers and self.builds:
                self.modules[argv[-1]] = self.builds
                return 0, "", ""
            return 10, "", "Error! Bad return status for module build on kernel"
        return 1, "", ""


def ready(check=False):
    return next_boot.ready(V, "/none", check)


def test_a_host_that_is_ready(monkeypatch):
    host = Host(monkeypatch, {RUNNING: V, COMING: V})
    assert ready() == [] and host.log == []


def test_a_module_is_built_for_the_kernel_that_will_boot(monkeypatch):
    host = Host(monkeypatch, {RUNNING: V}, headers=[COMING])
    assert ready(check=True) == [f"module for kernel {COMING}"] and host.log == []
    assert ready() == [f"module for kernel {COMING}"] and host.modules[COMING] == V
    assert host.log == [f"dkms autoinstall -k {COMING}"]


def test_an_older_module_for_the_next_kernel_is_rebuilt(monkeypatch):
    host = Host(monkeypatch, {RUNNING: V, COMING: "580.95.05"}, headers=[COMING])
    assert ready() and host.modules[COMING] == V


def test_a_next_kernel_without_headers_is_named_with_the_package(monkeypatch):
    Host(monkeypatch, {RUNNING: V})
    with pytest.raises(next_boot.Stranded) as error:
        ready()
    assert f"{COMING} boots next" in error.value.what and f"linux-headers-{COMING}" in error.value.fix


def test_a_module_that_does_not_build(monkeypatch):
    host = Host(monkeypatch, {RUNNING: V}, headers=[COMING])
    host.builds = ""
    with pytest.raises(next_boot.Stranded) as error:
        ready()
    assert "Bad return status" in error.value.what and "make.log" in error.value.fix
    assert host.log == [f"dkms autoinstall -k {COMING}", f"dkms install --force nvidia/{V} -k {COMING}"]


def test_the_running_kernel_is_as_the_next_one_where_nothing_newer_is_there(monkeypatch):
    host = Host(monkeypatch, {}, headers=[RUNNING], coming=RUNNING)
    assert ready() == [f"module for kernel {RUNNING}"] and len(host.log) == 1


def test_secure_boot_refuses_what_nobody_enrolled(monkeypatch):
    host = Host(monkeypatch, {RUNNING: V, COMING: V}, secure=True)
    with pytest.raises(next_boot.Stranded) as error:
        ready()
    assert "mokutil --import" in error.value.fix and "nvidia_driver_source: distribution" in error.value.fix
    host.enrolled = True
    assert ready() == []
    host.signer = ""  # the key is enrolled, and nobody used it
    with pytest.raises(next_boot.Stranded) as error:
        ready()
    assert "openssl" in error.value.fix and f"dkms build --force nvidia/{V} -k {RUNNING}" in error.value.fix
    host.enrolled, host.other_enrolled, host.signer = False, True, "DKMS module signing key"
    with pytest.raises(next_boot.Stranded) as error:
        ready()
    assert "with the key that is enrolled: dkms build --force" in error.value.fix and "--import" not in error.value.fix
    host.enrolled, host.signer = False, "Canonical Ltd. Kernel Module Signing"
    assert ready() == []


def test_the_initramfs_of_each_kernel_is_rebuilt(monkeypatch):
    host = Host(monkeypatch, {RUNNING: V, COMING: V})
    host.stale = {COMING: "it would load nouveau"}
    assert ready(check=True) == [f"initramfs of {COMING}: it would load nouveau"] and host.log == []
    assert ready() and host.log == [f"initramfs {COMING}"]


@pytest.mark.parametrize(("image", "lister"), [("initrd.img-6.1", "lsinitramfs"), ("initramfs-6.1.img", "lsinitrd")])
def test_initramfs_is_stale_while_it_holds_what_is_older_or_forbidden(tmp_path, program, image, lister):
    blacklist, module, image = tmp_path / "blacklist.conf", tmp_path / "nvidia.ko", tmp_path / image
    listed = tmp_path / "listed"
    program(lister, f"cat {listed}\n")
    listed.write_text("usr/lib/modules/6.1/nouveau.ko.xz\n")

    def stale():
        return initramfs.stale("6.1", str(blacklist), str(module), str(tmp_path))

    assert stale() == ""  # there is no image
    image.touch()
    assert stale() == "it would load nouveau"  # no blacklist yet
    blacklist.touch()
    os.utime(blacklist, (1, 1))
    assert stale() == ""
    os.utime(image, (0, 0))
    assert stale() == "it would load nouveau"
    listed.write_text("usr/lib/modules/6.1/updates/dkms/nvidia.ko\n")
    assert stale() == ""
    module.touch()
    assert stale() == "it holds an older NVIDIA module"


def test_a_newer_module_on_the_disk_makes_no_initramfs_load_nouveau(tmp_path, program):
    blacklist, module, image = tmp_path / "blacklist.conf", tmp_path / "nvidia.ko", tmp_path / "initrd.img-6.1"
    program("lsinitramfs", "echo usr/lib/modules/6.1/nouveau.ko.xz; echo etc/modprobe.d/blacklist.conf\n")
    for place, time in ((blacklist, 1), (image, 2), (module, 3)):
        place.touch()
        os.utime(place, (time, time))
    assert initramfs.stale("6.1", str(blacklist), str(module), str(tmp_path)) == ""


@pytest.mark.parametrize(
    ("image", "made"),
    [
        ("initrd.img-6.1", ["update-initramfs -u -k 6.1"]),
        ("initramfs-6.1.img", ["dracut --force --kver 6.1", f"grubby --update-kernel=ALL {initramfs.KEEP_OFF}"]),
    ],
)
def test_initramfs_is_made_by_the_system_s_own_program(tmp_path, program, image, made):
    (tmp_path / image).touch()
    for name in ("update-initramfs", "dracut", "grubby"):
        program(name, f"echo {name} $* >> {tmp_path}/log\n")
    assert initramfs.rebuild("6.1", str(tmp_path)) == ""
    assert (tmp_path / "log").read_text().splitlines() == made
    program(made[-1].split()[0], "echo 'no space left' >&2; exit 1\n")
    assert initramfs.rebuild("6.1", str(tmp_path)) == "no space left"
