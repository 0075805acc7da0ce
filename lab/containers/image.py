"""Root file systems from Debian's packages, as Docker images named after the hash of what went in."""

import hashlib
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from lab.containers.engine import docker, image_exists
from lab.containers.tarball import tar_of
from lab.home import Home
from lab.machine import SUITE, debian_sources
from lab.shell import LabError, say

# What any systemd server of the lab has.
SYSTEM = [
    "systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "python3-apt", "sudo", "iproute2",
    "ca-certificates", "curl", "gnupg", "kmod", "procps", "udev", "iptables", "less",
]  # fmt: skip


@dataclass
class Image:
    """What an image is made of: Debian packages, files laid over them, a script run inside at the end."""

    name: str
    packages: list[str]
    overlay: Path
    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)  # path -> (content, mode)
    setup: str = ""
    suite: str = SUITE
    lists: bool = False  # whether apt's lists stay, as on a server that has been looked after
    also: str = ""  # another suite of the same mirror, which `setup` takes out of the image's sources again

    def sources(self) -> list[str]:
        lines = debian_sources(release=self.suite)
        return [*lines, *debian_sources(release=self.also)[:1]] if self.also else lines

    def tag(self) -> str:
        """NAME:HASH; another overlay, package list, key or mirror makes another hash."""
        parts = [self.overlay_tar(), repr(self.packages).encode(), self.setup.encode(), repr(self.sources()).encode()]
        parts += [b"lists"] if self.lists else []
        return f"{self.name}:{hashlib.sha256(b'|'.join(parts)).hexdigest()[:12]}"

    def overlay_tar(self) -> bytes:
        """The overlay directory and `files` as one tar, owned by root, without times: the same bytes each run."""
        entries = dict(self.files)
        for path in sorted(self.overlay.rglob("*")):
            if path.is_file():
                mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
                entries[str(path.relative_to(self.overlay))] = (path.read_bytes(), mode)
        return tar_of(entries)


def exists(image: Image) -> bool:
    return image_exists(image.tag())


def build(home: Home, image: Image) -> str:
    """Returns the image's tag, building it when no such image exists."""
    tag = image.tag()
    if image_exists(tag):
        return tag
    say(f"Building {image.name} from Debian {image.suite} packages (about a minute, once) ...")
    started = time.monotonic()
    work = home.directory("build", image.name.rpartition("/")[2])
    (work / "overlay.tar").write_bytes(image.overlay_tar())
    (work / "setup.sh").write_text("#!/bin/sh\nset -eu\n" + image.setup)
    _bootstrap(image, tag, work)
    say(f"Built {image.name} in {time.monotonic() - started:.0f} s.")
    return tag


def _bootstrap(image: Image, tag: str, work: Path) -> None:
    """mmdebstrap piped into docker import."""
    hooks = [
        f"--customize-hook=tar-in {work}/overlay.tar /",
        f"--customize-hook=upload {work}/setup.sh /setup.sh",
        '--customize-hook=chroot "$1" sh /setup.sh',
        '--customize-hook=rm "$1/setup.sh"',
    ]
    options = ["--variant=minbase", *(["--skip=cleanup/apt/lists"] if image.lists else [])]
    command = ["mmdebstrap", *options, f"--include={','.join(image.packages)}", *hooks, image.suite, "-"]
    log = work / "mmdebstrap.log"
    unfinished = f"{image.name}:unfinished"  # a killed build leaves nothing under the name that counts
    with log.open("wb") as errors:
        bootstrap = subprocess.Popen(
            command + image.sources(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        )
        imported = subprocess.run(["docker", "import", "-", unfinished], stdin=bootstrap.stdout, capture_output=True)
        bootstrap.stdout.close()
    if bootstrap.wait():
        tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-12:])
        raise LabError(f"mmdebstrap failed:\n  {tail}", f"Read {log}; check this machine's Debian mirror and network.")
    if imported.returncode:
        raise LabError(f"docker import failed: {imported.stderr.decode().strip()}")
    docker("tag", unfinished, tag)
    docker("rmi", unfinished)
