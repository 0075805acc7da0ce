"""The driver in the kernel exchanged without a reboot: what uses it is stopped, and started again whatever happens.

What was stopped is written down first, so that a run that is killed in between is completed by the next one.
"""

import json
import os

from ansible.module_utils.host.files import read
from ansible.module_utils.host.outcome import last_line, run
from ansible.module_utils.host.whole_file import write
from ansible.module_utils.nvidia import gpu_clients
from ansible.module_utils.nvidia.host import module_loaded

STOPPED = "/var/lib/deepgram/nvidia-driver-reload.json"
MODULES = "/sys/module"
# Users before what they use; the last four are the names in Debian's own packages.
FAMILY = (
    "nvidia_fs",
    "gdrdrv",
    "nvidia_peermem",
    "nvidia_drm",
    "nvidia_modeset",
    "nvidia_uvm",
    "nvidia",
    "nvidia_current_drm",
    "nvidia_current_modeset",
    "nvidia_current_uvm",
    "nvidia_current",
)
LOAD = ("nvidia", "nvidia-uvm", "nvidia-modeset")


def pending(path=STOPPED):
    """What an earlier run stopped and did not start again: {docker, podman, units, mps, modules}; {} for nothing."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return {}


def replace(load):
    """Exchanges the loaded module. `load` loads the new one, and does not return where that fails.

    Returns "" or why only a reboot can do it; then all that was stopped runs again.
    """
    who = gpu_clients.clients()
    display = gpu_clients.active([gpu_clients.DISPLAY]) if who["others"] else []
    strangers = holders() - set(FAMILY)
    if who["others"] and not display:
        return "{} uses the GPU and belongs to no unit or container".format(", ".join(who["others"]))
    if strangers:
        return "module {} uses it, which is not NVIDIA's".format(", ".join(sorted(strangers)))
    who["units"] = sorted({*who["units"], *gpu_clients.active(gpu_clients.DAEMONS), *display})
    who["modules"] = [name for name in FAMILY if module_loaded(name)]
    remember(who)
    problem = gpu_clients.stop(who) or in_use() or unload(FAMILY)
    if not problem:
        load()
    for name in reversed(pending().get("modules", [])):
        if not module_loaded(name):
            run(["modprobe", name], timeout=120)
    return problem


def remember(who, path=STOPPED):
    """Writes down what is about to be stopped, beside what an earlier run left stopped."""
    before = pending(path)
    retained = {
        kind: sorted({*before.get(kind, []), *who.get(kind, [])}) for kind in (*who, *before) if kind != "others"
    }
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    write(path, json.dumps({**retained, "modules": before.get("modules") or who.get("modules", [])}), 0o600)


def resume(path=STOPPED):
    """Starts what was stopped; returns "" or what does not start. Only then it is forgotten."""
    who = pending(path)
    missing = {engine: gpu_clients.existing(engine, who.get(engine, [])) for engine in ("docker", "podman")}
    failed = gpu_clients.start({**who, **missing}) if who else ""
    if not failed and os.path.exists(path):
        os.unlink(path)
    return failed


def holders(name="nvidia", root=MODULES):
    """Modules that use this one."""
    folder = os.path.join(root, name, "holders")
    return set(os.listdir(folder)) if os.path.isdir(folder) else set()


def in_use(root=MODULES):
    """Who still has a GPU open, or which module is held, once all that could be stopped was; "" for nobody.

    Looked at before the first module is unloaded: one that is gone cannot be loaded again beside an older one that stays.
    """
    left = gpu_clients.clients()
    names = [name for kind in ("others", "docker", "podman", "mps", "units") for name in left[kind]]
    if names:
        return "{} still uses the GPU".format(", ".join(names))
    for name in FAMILY:
        count = read(os.path.join(root, name, "refcnt"))
        if count.isdigit() and int(count) > len(holders(name, root)):
            return f"the kernel still holds module {name} (refcnt {count}, used by {len(holders(name, root))} modules)"
    return ""


def unload(names):
    """Unloads those that are loaded; returns "" or why it stopped."""
    for name in names:
        if module_loaded(name):
            rc, out, err = run(["modprobe", "-r", name], timeout=120)
            if rc != 0 or module_loaded(name):
                return last_line(err) or last_line(out) or f"{name} stays loaded"
    return ""
