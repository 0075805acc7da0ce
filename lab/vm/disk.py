"""The disk of the virtual machine: Debian 13 with a real kernel, GRUB behind shim, and packages for later."""

import hashlib
import os
import shutil
import subprocess
import time
import tomllib
from pathlib import Path

from lab.containers.image import SYSTEM
from lab.containers.tarball import tar_of
from lab.hardware import gpus, pci
from lab.home import Home
from lab.keys import client_key
from lab.machine import SUITE, debian_sources
from lab.nvidia.tree import Tree, fill
from lab.packages import require
from lab.shell import LabError, run, say

HERE = Path(__file__).parent
VERSIONS = ("580.173.02",)
PACKAGES = [
    *SYSTEM, "initramfs-tools", "zstd", "pciutils", "mokutil", "openssl", "apt-utils", "ovmf", "python3-virt-firmware",
    "systemd-timesyncd",
]  # fmt: skip
# What the disk may be like, each made from the one before it: see the scripts with these names.
IMAGES = ("root", "driven", "updated")
ROOT_MB, ESP_MB = 6000, 64
FIRMWARE = ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.fd", "OVMF_VARS_4M.ms.fd")
ON_ESP = {
    "usr/lib/shim/shimx64.efi.signed": "EFI/BOOT/BOOTX64.EFI",
    "usr/lib/shim/mmx64.efi.signed": "EFI/BOOT/mmx64.efi",
    "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed": "EFI/BOOT/grubx64.efi",
}
GRUB = """\
search --no-floppy --label --set=root dgctl-root
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
"""


def directory(home: Home) -> Path:
    return home.directory("vm")


def ensure(home: Home) -> Path:
    """The folder with IMAGES, esp.img, the firmware and `kernels`, built when anything that it is made of changed."""
    words = [repr((PACKAGES, SUITE, debian_sources(), ROOT_MB)).encode(), Path(__file__).read_bytes()]
    words += [
        path.read_bytes() for path in sorted(HERE.rglob("*")) if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    desired = directory(home) / hashlib.sha256(b"|".join(words)).hexdigest()[:12]
    if not desired.exists():
        _build(home, desired)
    return desired


def _build(home: Home, desired: Path) -> None:
    require("mmdebstrap", "mke2fs", "mformat", "dpkg-deb", "ssh-keygen")
    say("Building the disk of the virtual machine from Debian packages (minutes, once) ...")
    started = time.monotonic()
    work = directory(home) / "work"
    if work.exists():
        run("rm", "-rf", "--one-file-system", str(work))
    work.mkdir()
    (work / "overlay.tar").write_bytes(tar_of(_overlay(home)))
    (work / "setup.sh").write_text("set -eu\n" + (HERE / "setup.sh").read_text())
    _stand_ins(work / "nvidia")
    _gpu(work / "gpu")
    _bootstrap(work)
    _images(work)
    for name in ("root", "overlay.tar", "setup.sh", "nvidia", "gpu"):
        path = work / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    work.rename(desired)
    say(f"Built the disk in {time.monotonic() - started:.0f} s.")


def _overlay(home: Home) -> dict[str, tuple[bytes, int]]:
    """What is laid over Debian's files: path -> (content, mode)."""
    overlay = HERE / "overlay"
    found = {
        str(path.relative_to(overlay)): (path.read_bytes(), 0o755 if os.access(path, os.X_OK) else 0o644)
        for path in sorted(overlay.rglob("*"))
        if path.is_file()
    }
    return found | {"root/.ssh/authorized_keys": (client_key(home).with_suffix(".pub").read_bytes(), 0o600)}


def _stand_ins(out: Path) -> None:
    """NVIDIA's packages, as files."""
    out.mkdir()
    table = tomllib.loads((HERE / "packages.toml").read_text())
    for version in VERSIONS:
        for name, row in table.items():
            _package(Tree(out, name, row, version, f"{version}-1"), row).pack(out)
        branch = version.partition(".")[0]
        row = {"about": f"keeps the NVIDIA driver at {branch}"}
        pinning = Tree(out, f"nvidia-driver-pinning-{branch}", row, version, f"{branch}-1")
        pinning.write(
            f"etc/apt/preferences.d/nvidia-driver-pinning-{branch}",
            f"Package: nvidia-* libnvidia-*\nPin: version {branch}.*\nPin-Priority: 1000\n",
        )
        pinning.pack(out)


def _package(tree: Tree, row: dict) -> Tree:
    def put(source: Path, target: str, mode: int) -> None:
        tree.write(fill(target, tree.version), fill(source.read_text(), tree.version), mode)

    for line in row.get("files", []):
        source, target = line.split(" -> ")
        put(HERE / source, target, 0o755 if os.access(HERE / source, os.X_OK) else 0o644)
    for script in HERE.glob(row["scripts"] + ".p*") if "scripts" in row else []:
        put(script, "DEBIAN/" + script.suffix[1:], 0o755)
    for line in row.get("links", []):
        target, link = line.split(" <- ")
        (tree.path / link).symlink_to(fill(target, tree.version))
    return tree


def _gpu(out: Path) -> None:
    out.mkdir()
    pci.write_tree(out, gpus.describe("vm", gpus.parse("t4")))


def _bootstrap(work: Path) -> None:
    hooks = [
        f"--customize-hook=tar-in {work}/overlay.tar /",
        '--customize-hook=mkdir -p "$1/srv/apt"',
        f"--customize-hook=copy-in {work}/nvidia /srv/apt",
        f"--customize-hook=copy-in {work}/gpu /srv",
        f"--customize-hook=upload {work}/setup.sh /setup.sh",
        '--customize-hook=chroot "$1" sh /setup.sh',
        '--customize-hook=rm "$1/setup.sh"',
    ]
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", *hooks, SUITE, f"{work}/root"]
    log = work / "mmdebstrap.log"
    with log.open("wb") as stream:
        done = subprocess.run(
            command + debian_sources(), stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
        )
    if done.returncode:
        tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-20:])
        raise LabError(f"mmdebstrap failed:\n  {tail}", f"Read {log}; check this machine's Debian mirror and network.")


def _images(work: Path) -> None:
    """The disks and esp.img, each a file system without a partition table: firmware and GRUB take them so."""
    root = work / "root"
    for name in FIRMWARE:
        shutil.copy(root / "usr/share/OVMF" / name, work / name)
    for name in ("kernels", "apt/fingerprint", "apt/key.asc"):
        shutil.copy(root / "srv" / name, work / Path(name).name)
    (work / "host_key.pub").write_text((root / "etc/ssh/ssh_host_ed25519_key.pub").read_text())
    esp = work / "esp.img"
    run("truncate", "-s", f"{ESP_MB}M", str(esp))
    run("mformat", "-i", str(esp), "-F", "-v", "DGCTL-ESP", "::")
    run("mmd", "-i", str(esp), "::EFI", "::EFI/BOOT", "::EFI/debian")
    for source, target in ON_ESP.items():
        run("mcopy", "-i", str(esp), str(root / source), f"::{target}")
    (work / "grub.cfg").write_text(GRUB)
    run("mcopy", "-i", str(esp), str(work / "grub.cfg"), "::EFI/debian/grub.cfg")
    for image in IMAGES:
        if (HERE / f"{image}.sh").exists():
            _inside(root, HERE / f"{image}.sh")
        options = ["-q", "-t", "ext4", "-L", "dgctl-root"]
        run("mke2fs", *options, "-d", str(root), str(work / f"{image}.img"), f"{ROOT_MB}M")


def _inside(root: Path, script: Path) -> None:
    """Runs a script in the file system, which does not boot for that: minutes instead of an hour in emulation.

    What it needs mounted is so in a namespace of its own, and gone with it however it ends.
    """
    mounts = f"mount --bind /proc {root}/proc && mount --bind /dev {root}/dev"
    text = (
        "set -eu\nexport DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    )
    run("unshare", "--mount", "sh", "-c", f"{mounts} && exec chroot {root} sh -s", stdin=text + script.read_text())
