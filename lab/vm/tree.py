"""The virtual machine's disk without the machine: its own programs on this machine's kernel, in a fraction of the time."""

import subprocess
from pathlib import Path

from lab.shell import LabError

# An overlay over the image, in a mount namespace that goes with the command.
ENTER = """
set -e
mkdir -p {work}/lower {work}/over
mount -t tmpfs -o size=3g tmpfs {work}/over
mkdir {work}/over/upper {work}/over/work {work}/over/root
mount -o loop,ro {image} {work}/lower
mount -t overlay overlay -o lowerdir={work}/lower,upperdir={work}/over/upper,workdir={work}/over/work {work}/over/root
mount --bind /proc {work}/over/root/proc
mount --bind /dev {work}/over/root/dev
tar -x -C {work}/over/root/opt -f {files}
exec chroot {work}/over/root bash /opt/probe.sh
"""


def probe(image: Path, work: Path, files: Path, timeout_s: float = 3600) -> str:
    """Runs /opt/probe.sh of `files`, a tar, inside a copy of the image; returns what it printed. What it changes is lost."""
    script = ENTER.format(image=image, work=work, files=files)
    environment = {
        "PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, env=environment,
        timeout=timeout_s,
    )  # fmt: skip
    if done.returncode:
        raise LabError(f"In {image.name}: {done.stderr.decode(errors='replace')[-1500:]}")
    return done.stdout.decode(errors="replace")
