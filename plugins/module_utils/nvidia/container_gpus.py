"""Whether a running container still reaches the GPUs that it was given.

`nvidia-smi` in the container is what tells, and its `exec` is most of what a look at a server costs. So it is asked only
where there is something to ask: where a process in the container's control group cannot open each of its device nodes,
as one loses that right when the group's list of devices is rewritten, or where the container holds another driver's files.
"""

import os
import re

from ansible.module_utils.host.command import Command
from ansible.module_utils.nvidia import driver as nvidia_driver

PROC = "/proc"
CONTROL_GROUPS = "/sys/fs/cgroup"
OPEN_TIMEOUT_S = 5
SMI_TIMEOUT_S = 15
# What nvidia-smi says in a container that cannot reach a GPU any more; whatever else it says is no proof of that.
BLIND = ("NVML", "couldn't communicate with the NVIDIA driver", "No devices were found", "GPU is lost")
NODE = re.compile(r"nvidia(ctl|[0-9]+)")
LIBRARY = re.compile(r"/libnvidia-ml\.so\.([0-9]+\.[0-9.]+) ")
# Read and write, as NVML opens them. The first that cannot be opened ends the shell.
JOIN_AND_OPEN = 'echo $$ > "$1/cgroup.procs" || exit; shift; for node; do : <> "$node"; done'


def lost(engine, name, pid):
    """In what words nvidia-smi says, in the container, that it has lost its GPUs; "" where it has not.

    pid: of the container's first process, on the host.
    """
    return "" if _reaches(pid) else _reported(Command(engine, "exec", name, "nvidia-smi", "-L", errors=True))


def _reaches(pid):
    """Whether it surely does. A doubt is no loss, but a reason to ask nvidia-smi."""
    try:
        folder = f"{PROC}/{pid}/root/dev"
        nodes = [node for node in sorted(os.listdir(folder)) if NODE.fullmatch(node)]
        if "nvidiactl" not in nodes or len(nodes) == 1 or _libraries(pid) != {nvidia_driver.module()}:
            return False
        command = Command("sh", "-c", JOIN_AND_OPEN, "sh", _group(pid), *(f"{folder}/{node}" for node in nodes))
    except (OSError, KeyError):
        return False
    command.output(OPEN_TIMEOUT_S)
    return command.status == 0


def _libraries(pid):
    """The versions of the driver that the container was given libraries of."""
    return set(LIBRARY.findall(_read(f"{PROC}/{pid}/mountinfo")))


def _group(pid):
    """The folder of the control group that says which devices a process may open."""
    lines = [line.split(":", 2) for line in _read(f"{PROC}/{pid}/cgroup").splitlines()]
    paths = {controller: path for _, controllers, path in lines for controller in controllers.split(",")}
    return f"{CONTROL_GROUPS}/devices{paths['devices']}" if "devices" in paths else CONTROL_GROUPS + paths[""]


def _reported(command):
    text, _ = command.output(SMI_TIMEOUT_S)
    lines = [line.strip() for line in text.splitlines() if any(word in line for word in BLIND)]
    return lines[0] if command.status and lines else ""


def _read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
