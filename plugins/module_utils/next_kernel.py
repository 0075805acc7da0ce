"""Which kernel a host boots next, by its boot loader's own rule, and the NVIDIA module that it would find there.

Everything here only reads. Releases are strings as `uname -r` says them; "" stands for none.
"""

import glob
import os
import platform
import re

from ansible.module_utils.nvidia_host import read
from ansible.module_utils.outcome import run

CONFIGS = ("grub/grub.cfg", "grub2/grub.cfg")
ENVIRONMENTS = ("grub/grubenv", "grub2/grubenv")
MODULES = ("nvidia", "nvidia-current")  # the second: the name in Debian's own packages
BLOCK = re.compile(r"^(menuentry|submenu|function)\s+(?:'([^']*)'|\"([^\"]*)\"|(\S+)).*\{$")
IDENTITY = re.compile(r"(?:--id|menuentry_id_option)\s+'?([^'\s]+)")
KERNEL = re.compile(r"^linux\S*\s+\S*vmlinuz-(\S+)")
DEFAULT = re.compile(r'^\s*set default="([^"]*)"$', re.M)


def order(release):
    """A key that sorts releases by age as boot loaders do: a number beats a word, and both beat the end; ~ comes first."""
    parts = re.findall(r"\d+|~|[A-Za-z]+", release.replace("-rc", "~rc"))
    return [
        (-1, 0, "") if part == "~" else (2, int(part), "") if part.isdigit() else (1, 0, part) for part in parts
    ] + [(0, 0, "")]


def installed(boot="/boot"):
    """The kernels that can be booted, the newest first; rescue images are none of them."""
    found = [os.path.basename(path)[len("vmlinuz-") :] for path in glob.glob(os.path.join(boot, "vmlinuz-*"))]
    return sorted((name for name in found if "rescue" not in name), key=order, reverse=True)


def booting(boot="/boot"):
    """The kernel that boots next; the running one where nothing says so."""
    there = installed(boot)
    rc, out, _err = run(["grubby", "--default-kernel"])
    named = out.strip().rpartition("vmlinuz-")[2] if rc == 0 else _by_grub(boot)
    return named if named in there else (there or [platform.release()])[0]


def module_version(release):
    """Version of the NVIDIA module that modprobe would load under this kernel."""
    return _modinfo(release, "version")


def module_signer(release):
    """Who signed it: the name in the key's certificate."""
    return _modinfo(release, "signer")


def has_headers(release, modules="/lib/modules"):
    """Whether a module can be built for this kernel."""
    return os.path.isdir(os.path.join(modules, release, "build"))


def _modinfo(release, field):
    for name in MODULES:
        rc, out, _err = run(["modinfo", "-k", release, "-F", field, name])
        if rc == 0:
            return out.strip()
    return ""


def _by_grub(boot):
    """What GRUB's menu and environment say; "" where there is no menu, or it says nothing known."""
    menu = next((text for text in (read(os.path.join(boot, name)) for name in CONFIGS) if text), "")
    environment = "\n".join(read(os.path.join(boot, name)) for name in ENVIRONMENTS)
    kept = dict(line.split("=", 1) for line in environment.splitlines() if "=" in line)
    said = [value for value in DEFAULT.findall(menu) if value != "${next_entry}"]
    wanted = kept.get("next_entry") or (said[-1] if said else "0")
    return _chosen(_entries(menu), kept.get("saved_entry", "0") if wanted == "${saved_entry}" else wanted)


def _entries(menu):
    """The menu as a tree: entries {names, kernel, entries}."""
    stack = [{"names": (), "kernel": "", "entries": []}]
    for line in (line.strip() for line in menu.splitlines()):
        block, kernel = BLOCK.match(line), KERNEL.match(line)
        if block:
            names = (block[2] or block[3] or block[4], *IDENTITY.findall(line))
            entry = {"names": names, "kernel": "", "entries": []}
            if block[1] != "function":
                stack[-1]["entries"].append(entry)
            stack.append(entry)
        elif line == "}" and len(stack) > 1:
            stack.pop()
        elif kernel and not stack[-1]["kernel"]:
            stack[-1]["kernel"] = kernel[1]
    return stack[0]["entries"]


def _chosen(entries, wanted):
    """The kernel of the entry that `wanted` names: "0", "1>2", a title or an id, or a way of those."""
    kernel = ""
    for step in wanted.split(">"):
        by_name = [entry for entry in entries if step in entry["names"]]
        by_number = entries[int(step) : int(step) + 1] if step.isdigit() else []
        entry = next(iter(by_name or by_number), None)
        if entry is None:
            return ""
        kernel, entries = entry["kernel"], entry["entries"]
    while entries:  # a submenu: its first entry
        kernel, entries = entries[0]["kernel"], entries[0]["entries"]
    return kernel
