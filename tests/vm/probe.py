"""A machine whose first process is a test's script: what it printed, and what the judges of the next boot said there."""

import io
import json
import re
import tarfile

from lab.vm.machine import Machine
from tests.paths import PROJECT

UTILS = PROJECT / "plugins/module_utils"
BLACKLIST = "/etc/modprobe.d/nvidia-driver.conf"
JUDGE = """\
import json, os, platform, sys
sys.path.insert(0, "/opt")
from ansible.module_utils import applied_next_kernel, initramfs, next_boot, next_kernel, secure_boot

K = platform.release()
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
K=$(uname -r)
judge() { python3 /opt/judge.py "$@"; }
told() { echo "told $1 $2"; }
cd /opt
"""


def probe(machine: Machine, version: str, script: str) -> dict:
    """{name: value} of what the script's `judge NAME EXPRESSION` and `told NAME TEXT` printed, and the whole console."""
    judge = JUDGE.replace("@VERSION@", version).replace("@BLACKLIST@", BLACKLIST)
    console = machine.probe(HEAD + script, _files(machine, judge))
    found: dict = {"console": console}
    for kind, name, value in re.findall(r"^(judged|told) (\S+) ?(.*)$", console, re.MULTILINE):
        found[name] = json.loads(value) if kind == "judged" else value
    return found


def _files(machine: Machine, judge: str) -> bytes:
    """The role's file for modprobe, the firmware's variables, the module utilities and what asks them, as a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path in sorted(UTILS.glob("*.py")):
            tar.add(path, f"ansible/module_utils/{path.name}")
        tar.add(machine.folder / "vars.fd", "vars.fd")
        tar.add(PROJECT / "roles/nvidia_driver/templates/modprobe.conf.j2", "blacklist")
        entry = tarfile.TarInfo("judge.py")
        entry.size = len(judge.encode())
        tar.addfile(entry, io.BytesIO(judge.encode()))
    return out.getvalue()
