"""The signed APT repositories under the lab's home, built again when anything in lab/nvidia changed."""

import re
from pathlib import Path

from lab.containers import built
from lab.containers.engine import docker
from lab.home import Home
from lab.kernels import following
from lab.machine import KERNEL
from lab.shell import say

HERE = Path(__file__).parent


def ensure(home: Home, tools_image: str) -> str:
    """Returns the signing key's fingerprint, with home/apt/current pointing at repositories of today's sources."""
    fingerprint = _signing_key(home, tools_image)
    words = (fingerprint, following(KERNEL))
    desired = home.directory("apt") / built.digest([HERE], *words)
    if not desired.exists():
        say("Building the stand-in NVIDIA packages and their signed repositories ...")
        built.build(home, tools_image, desired, f"lab.nvidia.build /out /gnupg {' '.join(words)}")
    built.link(home.path / "apt" / "current", desired)
    return fingerprint


def _signing_key(home: Home, tools_image: str) -> str:
    record = home.path / "keys" / "apt-fingerprint"
    if not record.exists():
        gnupg = home.directory("keys", "gnupg", mode=0o700)
        who = "'dgctl lab (simulated NVIDIA)'"
        making = f"gpg --batch --quiet --passphrase '' --quick-generate-key {who} ed25519 sign never"
        inside = [f"--volume={gnupg}:/gnupg", "--env=GNUPGHOME=/gnupg", "--network=none", tools_image, "sh", "-eu"]
        shown = docker("run", "--rm", "-i", *inside, stdin=f"{making}; gpg --with-colons --list-keys")
        record.write_text(re.search(r"(?m)^fpr:{9}([0-9A-F]{40}):", shown)[1] + "\n")
    return record.read_text().strip()
