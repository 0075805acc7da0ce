"""Which kernel a host boots next, by what its boot loader reads; and whether it would find an NVIDIA module there.

Part of the look at a host, which is sent there as source: only the standard library, and what has the same prefix.
Releases are strings as `uname -r` says them; "" stands for none.
"""

import glob
import os
import platform
import re

from ansible.module_utils.host.files import read

CONFIGS = ("grub/grub.cfg", "grub2/grub.cfg")
ENVIRONMENTS = ("grub/grubenv", "grub2/grubenv")
BLOCK = re.compile(r"^(menuentry|submenu|function)\s+(?:'([^']*)'|\"([^\"]*)\"|(\S+)).*\{$")
IDENTITY = re.compile(r"(?:--id|menuentry_id_option)\s+'?([^'\s]+)")
KERNEL = re.compile(r"^linux\S*\s+\S*vmlinuz-(\S+)")
DEFAULT = re.compile(r'^\s*set default="([^"]*)"$', re.M)
ENTRY = re.compile(r"^linux\s+\S*vmlinuz-(\S+)", re.M)  # of a file in loader/entries, as Enterprise Linux has them
MODULE = re.compile(r"^\S*\bnvidia(?:-current)?\.ko[.\w]*:", re.M)


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


def booting(boot="/boot", named=""):
    """The kernel that boots next: the one that is `named`, or the boot loader names; else the newest, or the running one."""
    there = installed(boot)
    chosen = named or _by_entries(boot) or _by_grub(boot)
    return chosen if chosen in there else (there or [platform.release()])[0]


def without_module(boot="/boot", modules="/lib/modules"):
    """The kernel that boots next, where that is another than the running one and has no NVIDIA module; else ""."""
    coming = booting(boot)
    listed = read(os.path.join(modules, coming, "modules.dep"))
    return "" if coming == platform.release() or MODULE.search(listed) else coming


def _by_entries(boot):
    """What a menu of one file an entry says; "" where there is none."""
    retained = _environment(boot).get("saved_entry", "")
    found = ENTRY.search(read(os.path.join(boot, "loader/entries", retained + ".conf"))) if retained else None
    return found.group(1) if found else ""


def _environment(boot):
    """What GRUB remembers."""
    text = "\n".join(read(os.path.join(boot, name)) for name in ENVIRONMENTS)
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _by_grub(boot):
    """What GRUB's menu and environment say; "" where there is no menu, or it says nothing known."""
    menu = next((text for text in (read(os.path.join(boot, name)) for name in CONFIGS) if text), "")
    retained = _environment(boot)
    reported = [value for value in DEFAULT.findall(menu) if value != "${next_entry}"]
    desired = retained.get("next_entry") or (reported[-1] if reported else "0")
    return _chosen(_entries(menu), retained.get("saved_entry", "0") if desired == "${saved_entry}" else desired)


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


def _chosen(entries, desired):
    """The kernel of the entry that `desired` names: "0", "1>2", a title or an id, or a way of those."""
    kernel = ""
    for step in desired.split(">"):
        by_name = [entry for entry in entries if step in entry["names"]]
        by_number = entries[int(step) : int(step) + 1] if step.isdigit() else []
        entry = next(iter(by_name or by_number), None)
        if entry is None:
            return ""
        kernel, entries = entry["kernel"], entry["entries"]
    while entries:  # a submenu: its first entry
        kernel, entries = entries[0]["kernel"], entries[0]["entries"]
    return kernel
