#!/usr/bin/python
"""Ansible module: what a confined program needs of SELinux, where SELinux is on."""

from __future__ import annotations

DOCUMENTATION = r"""
module: selinux_settings
short_description: Has booleans, ports and file contexts of SELinux as a program needs them
description:
  - Does nothing on a host without SELinux, or with SELinux switched off. In permissive mode it does all, so that the host
    may be made to enforce later.
  - Booleans and contexts are made to last. A context is also given to the files that are there.
options:
  booleans:
    description: Booleans by name.
    type: dict
    default: {}
  ports:
    description: TCP ports that are to have a type.
    type: list
    elements: dict
    default: []
    suboptions:
      port: {description: The port., type: int, required: true}
      type: {description: Its type., type: str, required: true}
  contexts:
    description: Folders whose files are to have a type.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: The folder., type: path, required: true}
      type: {description: Its type., type: str, required: true}
extends_documentation_fragment:
  - check_mode.no_diff
"""

EXAMPLES = r"""
- name: Let NGINX ask other servers
  selinux_settings:
    booleans: {httpd_can_network_connect: true}
    ports: [{port: 9443, type: http_port_t}]
"""

RETURN = r"""
commands:
  description: What was done, or in check mode would be.
  type: list
  returned: success
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.outcome import fail, last_line, run

ENFORCE = "/sys/fs/selinux/enforce"  # there while SELinux is on, in either mode


def booleans(desired):
    """Commands for the booleans that are not as wanted."""
    for name, value in sorted(desired.items()):
        state = "on" if value else "off"
        if run(["getsebool", name])[1].split()[-1:] != [state]:
            yield ["setsebool", "-P", name, state]


def ports(desired):
    """Commands for the ports that have another type, or none."""
    known = {}
    for line in run(["semanage", "port", "-l", "-n"])[1].splitlines() if desired else []:
        kind, protocol, numbers = [*line.split(None, 2), "", ""][:3]
        if protocol == "tcp":
            for number in numbers.replace(" ", "").split(","):
                known.setdefault(number, []).append(kind)
    for one in desired:
        types = known.get(str(one["port"]), [])
        if one["type"] not in types:
            yield ["semanage", "port", "-m" if types else "-a", "-t", one["type"], "-p", "tcp", str(one["port"])]


def contexts(desired):
    """Commands for the folders whose rule is missing."""
    rules = run(["semanage", "fcontext", "-l", "-C", "-n"])[1].splitlines() if desired else []
    for one in desired:
        pattern = one["path"] + "(/.*)?"
        found = [line for line in rules if line.split()[:1] == [pattern]]
        if not any(f":{one['type']}:" in line for line in found):
            yield ["semanage", "fcontext", "-m" if found else "-a", "-t", one["type"], pattern]
            if os.path.exists(one["path"]):
                yield ["restorecon", "-R", one["path"]]


def main():
    kind = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "booleans": {"type": "dict", "default": {}},
            "ports": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"port": {"type": "int", "required": True}, "type": kind},
            },
            "contexts": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"path": {"type": "path", "required": True}, "type": kind},
            },
        },
        supports_check_mode=True,
    )
    if not os.path.exists(ENFORCE):
        module.exit_json(changed=False, commands=[])
    params = module.params
    due = [*booleans(params["booleans"]), *ports(params["ports"]), *contexts(params["contexts"])]
    for command in due if not module.check_mode else []:
        rc, out, err = run(command, timeout=300)
        if rc != 0:
            reported = last_line(err) or last_line(out)
            fix = "semanage comes with policycoreutils-python-utils; by hand on the host, the command says more."
            fail(module, f"{' '.join(command)}: {reported}", fix, reported)
    module.exit_json(changed=bool(due), commands=[" ".join(command) for command in due])


if __name__ == "__main__":
    main()
