"""The signed APT repositories under the lab's home, built again when anything in lab/nvidia changed."""

import hashlib
import re
import shutil
from pathlib import Path

from lab.engine import docker
from lab.home import CHECKOUT, Home
from lab.kernels import following
from lab.machine import KERNEL
from lab.shell import say

HERE = Path(__file__).parent


def ensure(home: Home, tools_image: str) -> str:
    """Returns the signing key's fingerprint, with home/apt/current pointing at repositories of today's sources."""
    gnupg = home.directory("keys", "gnupg", mode=0o700)
    fingerprint = _signing_key(home, tools_image, gnupg)
    wanted = home.directory("apt") / _digest(fingerprint)
    link = home.path / "apt" / "current"
    if not wanted.exists():
        _build(tools_image, gnupg, fingerprint, wanted)
    if not link.is_symlink() or link.resolve() != wanted.resolve():
        link.unlink(missing_ok=True)
        link.symlink_to(wanted.name)
    return fingerprint


def _digest(fingerprint: str) -> str:
    total = hashlib.sha256(f"{fingerprint} {following(KERNEL)}".encode())
    for path in sorted(HERE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            total.update(str(path.relative_to(HERE)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


def _signing_key(home: Home, tools_image: str, gnupg: Path) -> str:
    record = home.path / "keys" / "apt-fingerprint"
    if not record.exists():
        who = "'dgctl lab (simulated NVIDIA)'"
        making = f"gpg --batch --quiet --passphrase '' --quick-generate-key {who} ed25519 sign never"
        shown = _in_tools(tools_image, gnupg, f"{making}; gpg --with-colons --list-keys")
        record.write_text(re.search(r"(?m)^fpr:{9}([0-9A-F]{40}):", shown)[1] + "\n")
    return record.read_text().strip()


def _in_tools(tools_image: str, gnupg: Path, script: str, *options: str) -> str:
    """Runs a script in a throw-away container of the services image."""
    mounts = [f"--volume={gnupg}:/gnupg", "--env=GNUPGHOME=/gnupg", "--network=none"]
    return docker("run", "--rm", "-i", *mounts, *options, tools_image, "sh", "-eu", stdin=script)


def _build(tools_image: str, gnupg: Path, fingerprint: str, wanted: Path) -> None:
    """Builds beside the target and renames, so that a killed build leaves nothing that looks finished."""
    say("Building the stand-in NVIDIA packages and their signed repositories ...")
    unfinished = wanted.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    mounts = [f"--volume={CHECKOUT / 'lab'}:/src/lab:ro", f"--volume={unfinished}:/out", "--workdir=/src"]
    script = f"python3 -B -m lab.nvidia.build /out /gnupg {fingerprint} {following(KERNEL)}"
    _in_tools(tools_image, gnupg, script, *mounts)
    unfinished.chmod(0o755)
    unfinished.rename(wanted)
