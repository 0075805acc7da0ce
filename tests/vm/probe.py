"""A machine whose first process is a test's script: what it printed, and what the judges of the next boot said there."""

import io
import json
import re
import tarfile
from pathlib import Path

from lab.vm import tree
from lab.vm.machine import Machine
from tests.paths import PROJECT

UTILS = PROJECT / "plugins/module_utils"
BLACKLIST = "/etc/modprobe.d/nvidia-driver.conf"
JUDGE = """\
import json, os, platform, sys
sys.path.insert(0, "/opt")
from ansible.module_utils import applied_next_kernel, initramfs, next_boot, next_kernel, secure_boot

K = os.environ.get("KERNEL") or platform.release()  # without a machine the kernel is another's
platform.release = lambda: K
def ready(check):
    try:
        return next_boot.ready("@VERSION@", "@BLACKLIST@", check)
    except next_boot.Stranded as error:
        return {"what": error.what, "fix": error.fix}
print("judged", sys.argv[1], json.dumps(eval(sys.argv[2])))
"""
# `phase` counts the boots of a script that reboots.
HEAD = """\
phase=$(($(cat /root/phase 2>/dev/null || echo 0) + 1))
echo $phase >/root/phase
K=${KERNEL:-$(uname -r)}
judge() { python3 /opt/judge.py "$@"; }
told() { echo "told $1 $2"; }
cd /opt
"""


def probe(machine: Machine, version: str, script: str) -> dict:
    """{name: value} of what the script's `judge NAME EXPRESSION` and `told NAME TEXT` printed, and the whole console."""
    return _read(machine.probe(HEAD + script, _files(version, machine.folder / "vars.fd")))


def inside(image: Path, folder: Path, version: str, kernel: str, script: str) -> dict:
    """The same with the disk alone, in which `kernel` is taken for the running one."""
    (folder / "probe.tar").write_bytes(_files(version, script=f"export KERNEL={kernel}\n{HEAD}{script}"))
    return _read(tree.probe(image, folder, folder / "probe.tar"))


def _read(console: str) -> dict:
    found: dict = {"console": console}
    for kind, name, value in re.findall(r"^(judged|told) (\S+) ?(.*)$", console, re.MULTILINE):
        found[name] = json.loads(value) if kind == "judged" else value
    return found


def _files(version: str, variables: Path | None = None, script: str = "") -> bytes:
    """The role's file for modprobe, the firmware's variables, the module utilities and what asks them, as a tar."""
    judge = JUDGE.replace("@VERSION@", version).replace("@BLACKLIST@", BLACKLIST)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path in sorted(UTILS.glob("*.py")):
            tar.add(path, f"ansible/module_utils/{path.name}")
        if variables:
            tar.add(variables, "vars.fd")
        tar.add(PROJECT / "roles/nvidia_driver/templates/modprobe.conf.j2", "blacklist")
        for name, text in {"judge.py": judge, "probe.sh": script}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()
