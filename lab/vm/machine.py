"""One virtual machine: QEMU without KVM, on an overlay over a disk that stays as it is; reached over SSH on loopback."""

import base64
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from lab.home import Home
from lab.keys import client_key
from lab.packages import require
from lab.shell import LabError, run

BOOT_S = 2400  # a boot takes three minutes on a quiet machine of two cores, fifteen on a busy one
FIRMWARE = "OVMF_CODE_4M.secboot.fd"
# Its variables, by whether Secure Boot is on: no keys; or Microsoft's, which Debian's shim is signed with.
VARIABLES = {False: "OVMF_VARS_4M.fd", True: "OVMF_VARS_4M.ms.fd"}
SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"  # the owner of what is in shim's lists
DISKS = ("root", "esp")


@dataclass
class Machine:
    """`folder` holds what this one writes; `base` is a built disk, or the folder of a machine that has ended."""

    home: Home
    disk: Path  # as disk.ensure() returns it
    folder: Path
    secure_boot: bool = False
    port: int = 0
    process: subprocess.Popen | None = field(default=None, repr=False)

    def create(self, base: Path | None = None, image: str = "root") -> "Machine":
        """A new machine with an image (disk.IMAGES), or with the disks of `base` and, without Secure Boot, its variables."""
        require("qemu-system-x86_64", "qemu-img")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name in DISKS:
            below = base / f"{name}.qcow2" if base else self.disk / f"{image if name == 'root' else name}.img"
            kind = "qcow2" if base else "raw"
            run("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(below), "-F", kind, f"{self.folder}/{name}.qcow2")
        known = base / "vars.fd" if base and not self.secure_boot else self.disk / VARIABLES[self.secure_boot]
        shutil.copy(known, self.folder / "vars.fd")
        return self

    def start(self) -> None:
        """Switches it on; `await_boot` waits for it."""
        self.port = self.port or _free_port()
        log = (self.folder / "qemu.log").open("ab")
        self.process = subprocess.Popen(
            self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )

    def _command(self) -> list[str]:
        drives = [f"file={self.folder}/{name}.qcow2,if=none,id={name},cache=unsafe" for name in DISKS]
        return [
            "nice", "-n", "19", "qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-user-config",
            "-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on",
            "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "Westmere", "-smp", "1", "-m", "1500",
            "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={self.disk}/{FIRMWARE}",
            "-drive", f"if=pflash,unit=1,format=raw,file={self.folder}/vars.fd",
            "-drive", drives[1], "-device", "virtio-blk-pci,drive=esp,bootindex=0",
            "-drive", drives[0], "-device", "virtio-blk-pci,drive=root,bootindex=1",
            "-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22",
            "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci",
            "-serial", f"file:{self.folder}/console.log",
        ]  # fmt: skip

    def await_boot(self, timeout_s: float = BOOT_S) -> float:
        """Waits until a shell answers; returns the seconds that took."""
        started = time.monotonic()
        while self.shell("true", timeout_s=240).returncode:
            if self.process.poll() is not None:
                raise LabError(f"QEMU ended with {self.process.returncode}.", f"Read {self.folder}/qemu.log.")
            if time.monotonic() - started > timeout_s:
                raise LabError(
                    f"The virtual machine does not answer after {timeout_s:.0f} s.",
                    f"Read {self.folder}/console.log.",
                )
            time.sleep(3)
        return time.monotonic() - started

    def ssh_options(self) -> list[str]:
        known = self.folder / "known_hosts"
        if not known.exists():
            known.write_text("vm " + (self.disk / "host_key.pub").read_text())
        return [
            "-i", str(client_key(self.home)), "-o", f"UserKnownHostsFile={known}", "-o", "HostKeyAlias=vm",
            "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=150",
        ]  # fmt: skip

    def shell(self, command: str, timeout_s: float = 1800, stdin: bytes = b"") -> subprocess.CompletedProcess:
        """One command in the machine, as root; stdout and stderr are text."""
        argv = ["ssh", *self.ssh_options(), "-p", str(self.port), "root@127.0.0.1", command]
        try:
            done = subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(argv, 124, "", f"no answer within {timeout_s:.0f} s")
        return subprocess.CompletedProcess(
            argv, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )

    def reported(self, command: str, timeout_s: float = 1800) -> str:
        """What a command printed; LabError where it fails."""
        done = self.shell(command, timeout_s)
        if done.returncode:
            raise LabError(
                f"In the virtual machine `{command[:200]}` ended with {done.returncode}: {done.stderr[-800:]}"
            )
        return done.stdout

    def reboot(self) -> None:
        """A reboot from inside, awaited by the kernel's own boot id."""
        before = self.reported("cat /proc/sys/kernel/random/boot_id")
        self.shell("systemctl reboot", timeout_s=60)
        deadline = time.monotonic() + BOOT_S
        while self.shell("cat /proc/sys/kernel/random/boot_id", timeout_s=240).stdout in ("", before):
            if time.monotonic() > deadline:
                raise LabError("The virtual machine does not come back.", f"Read {self.folder}/console.log.")
            time.sleep(3)

    def enrol(self, key: str) -> None:
        """Does what a person does at the console after mokutil --import: shim's list has this key (DER) at the next boot."""
        variables = self.folder / "vars.fd"
        self.shell("cat >/root/vars.fd", stdin=variables.read_bytes())
        self.reported(f"openssl x509 -inform DER -in {key} -out /root/mok.pem")
        self.reported(f"virt-fw-vars --input /root/vars.fd --output /root/new.fd --add-mok {SHIM} /root/mok.pem")
        changed = base64.b64decode(self.reported("base64 /root/new.fd"))
        self.power_off()
        variables.write_bytes(changed)
        self.start()
        self.await_boot()

    def probe(self, script: str, files: bytes = b"", timeout_s: float = BOOT_S) -> str:
        """Boots, has the first process run this script (bash, as root, in /opt with `files`, a tar) and returns what it printed.

        Without systemd and network that takes a fraction of a boot. A script that reboots is run again.
        """
        tar = self.folder / "probe.tar"
        tar.write_bytes(files)
        (self.folder / "probe.sh").write_text(script)
        run("tar", "-r", "-f", str(tar), "-C", str(self.folder), "probe.sh")
        image = self.folder / "esp.img"
        run("qemu-img", "convert", "-q", "-O", "raw", f"{self.folder}/esp.qcow2", str(image))
        run("mcopy", "-o", "-i", str(image), str(tar), "::probe.tar")
        run("qemu-img", "convert", "-q", "-O", "qcow2", str(image), f"{self.folder}/esp.qcow2")
        image.unlink()
        console = self.folder / "console.log"
        console.unlink(missing_ok=True)
        self.start()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise LabError(f"The probe does not end within {timeout_s:.0f} s.", f"Read {console}.") from None
        finally:
            self.kill()
        return console.read_text(errors="replace").replace("\r", "")

    def power_off(self, timeout_s: float = 180) -> None:
        """Ends cleanly, so that another machine can be made over its folder."""
        self.shell("systemctl poweroff", timeout_s=60)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
