#!/usr/bin/python
"""Ansible module: what another source of the NVIDIA driver left on a host, named, and removed where that is allowed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: driver_leftovers
short_description: Finds and removes what another source of the NVIDIA driver left on a host
description:
  - Leftovers are the files of NVIDIA's C(.run) installer, entries for a repository that the roles have an entry for,
    and driver packages of another maker than O(source).
  - Without O(remove) a leftover is an error that says what to do.
  - With it, C(before) the driver's packages come the installer's own C(nvidia-uninstall) runs, and entries are switched
    off in place. Packages stay until others have taken their place, so that a host is never without a driver on its
    disk; what is still there then goes in a call with O(stage=after), in one transaction that may remove nothing else.
options:
  source:
    description: Whose driver packages belong here.
    type: str
    choices: [nvidia, distribution]
    default: nvidia
  addresses:
    description: Addresses of the roles' repositories where these are not NVIDIA's own.
    type: list
    elements: str
    default: []
  remove:
    description: Whether leftovers may be removed.
    type: bool
    default: false
  stage:
    description: Before the driver's packages are installed, or after that.
    type: str
    choices: [before, after]
    default: before
extends_documentation_fragment:
  - check_mode
"""

EXAMPLES = r"""
- name: Refuse a second driver
  driver_leftovers:
    source: nvidia
"""

RETURN = r"""
removed:
  description: What was removed, or would be, in words.
  type: list
  returned: success
packages:
  description: Driver packages of another source that are still installed.
  type: list
  returned: success
"""

import os
import re

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.outcome import fail, last_line, run
from ansible.module_utils.host.whole_file import write
from ansible.module_utils.nvidia import driver_leftovers as leftovers
from ansible.module_utils.packages import families
from ansible.module_utils.packages.apt.dpkg import environment

SILENT = ("--silent",)
OFF = "# switched off by dgctl: "
REMOVED = re.compile(r"^(?:Remv|Purg) (\S+)", re.M)


def uninstall(module, paths):
    """Has NVIDIA's own uninstaller take its driver away."""
    rc, out, err = run([paths[0], *SILENT], timeout=900)
    if rc != 0 or any(os.path.exists(path) for path in paths):
        reported = last_line(err) or last_line(out) or "it ended well, and its files are still there"
        fix = f"Look into /var/log/nvidia-uninstall.log, run {paths[0]} by hand, then run again."
        fail(module, f"The driver of NVIDIA's .run installer cannot be removed: {reported}", fix, reported)


def switch_off(path, addresses):
    """Switches off the entries of a file that name our repositories; all others stay."""
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        text = stream.read()
    write(path, without(text, path, addresses), os.stat(path).st_mode & 0o7777)


def without(text, path, addresses):
    """A file's text with those entries switched off."""
    if path.endswith(".list"):
        lines = text.splitlines(keepends=True)
        return "".join(
            OFF + line if not line.startswith("#") and leftovers.names_one(line, addresses) else line for line in lines
        )
    return re.sub(r"(?s)((?:^|(?<=\n))\S.*?)(?=\n\s*\n|\n\[|\s*\Z)", lambda part: _off(part[0], path, addresses), text)


def _off(part, path, addresses):
    lines = [line for line in part.splitlines() if not line.startswith("#")]
    if not any(leftovers.names_one(line, addresses) for line in lines):
        return part
    if path.endswith(".repo"):
        return re.sub(r"(?m)^enabled *=.*\n?", "", part).rstrip("\n") + "\nenabled=0"
    return re.sub(r"(?mi)^Enabled:.*\n?", "", part).rstrip("\n") + "\nEnabled: no"


def release_holds(names):
    """Lets packages go that somebody held."""
    _rc, out, _err = run(["apt-mark", "showhold"])
    held = [name for name in names if name in out.split()]
    if held:
        run(["apt-mark", "unhold", *held], env=environment())


def purge(module, names):
    """Removes packages in one transaction that may remove nothing else."""
    family = families.here()
    rc, out, err = run([*family.rehearses_erasure, *names], timeout=300, env=environment())
    others = sorted(set(REMOVED.findall(out)) - set(names))
    if rc != 0 or others:
        what = f"would take {', '.join(others)} along" if others else last_line(err) or last_line(out)
        fix = f"Remove these yourself once you know what needs them: {' '.join(names)}; then run again."
        fail(module, f"The driver packages of another source cannot be removed: {what}", fix, what)
    command = [*family.erases, *names]
    rc, out, err = run(command, timeout=1800, env=environment())
    if rc != 0:
        fail(module, f"{' '.join(command)}: {last_line(err) or last_line(out)}", "Run again.", last_line(err))


def before(module, found):
    """Takes away what would stop the installation."""
    for one in found:
        if one["kind"] == "run":
            uninstall(module, one["paths"])
        elif one["kind"] == "source":
            for path in one["paths"]:
                switch_off(path, module.params["addresses"])
        else:
            release_holds(one["names"])


def refuse(module, found):
    whats, fixes = [one["what"] for one in found], [one["fix"] for one in found]
    fail(module, "Another NVIDIA driver is in the way: {}".format("; ".join(whats)), " ".join(fixes), "; ".join(whats))


def main():
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "choices": ["nvidia", "distribution"], "default": "nvidia"},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "remove": {"type": "bool", "default": False},
            "stage": {"type": "str", "choices": ["before", "after"], "default": "before"},
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["stage"] == "after":
        found = leftovers.of_packages(params["source"])
    else:
        found = leftovers.find(params["source"], params["addresses"])
    if found and not params["remove"]:
        refuse(module, found)
    if found and not module.check_mode and params["stage"] == "before":
        before(module, found)
    packages = [name for one in found if one["kind"] == "packages" for name in one["names"]]
    if packages and not module.check_mode and params["stage"] == "after":
        purge(module, packages)
    removed = [one["what"] for one in found]
    module.exit_json(changed=bool(found), removed=removed, packages=packages)


if __name__ == "__main__":
    main()
