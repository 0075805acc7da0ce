#!/usr/bin/python
"""Ansible module: the ports that firewalld lets in for a role, where firewalld runs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: firewalld_ports
short_description: Has firewalld let TCP ports in, now and from now on, and closes what it opened before
description:
  - Does nothing where firewalld does not run. The zone is the default one.
  - The change is made at runtime and permanently, without a reload, which would take away what others made at runtime.
  - What it opened is noted in C(/var/lib/deepgram/firewalld-ports.json). A port that was open already is somebody else's, and
    is never closed.
options:
  owner:
    description: The role for which they are open.
    type: str
    required: true
  ports:
    description: The ports.
    type: list
    elements: int
    required: true
  close:
    description: >-
      Whether other ports that were opened for this owner are closed; V(false) while something still listens there.
    type: bool
    default: true
extends_documentation_fragment:
  - check_mode.no_diff
"""

EXAMPLES = r"""
- name: Let callers in
  firewalld_ports:
    owner: nginx_proxy
    ports: [443]
"""

RETURN = r""" # """

import json

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.outcome import fail, last_line, run
from ansible.module_utils.host.whole_file import text_of, write

COMMAND = "firewall-cmd"
NOTES = "/var/lib/deepgram/firewalld-ports.json"  # {owner: [port that was opened for it]}
NOW, LATER = [], ["--permanent"]


def noted():
    """What was opened, by owner; nothing where the notes are none, because only what is known to be ours is closed."""
    try:
        found = json.loads(text_of(NOTES) or "{}")
        return {owner: [int(port) for port in ports] for owner, ports in found.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def note(notes, owner, ports):
    """The notes with these of an owner's; written before a port is opened and after one is closed, lest a run that is killed
    leave one that nobody knows of.
    """
    others = {name: known for name, known in notes.items() if name != owner}
    now = {**others, **({owner: sorted(ports)} if ports else {})}
    if now != notes:
        write(NOTES, json.dumps(now, sort_keys=True) + "\n", 0o644)
    return now


def lets_in(port, kind):
    return run([COMMAND, *kind, f"--query-port={port}/tcp"])[0] == 0


def change(module, how, port, kind):
    """Adds or removes a port."""
    rc, out, err = run([COMMAND, *kind, f"--{how}-port={port}/tcp"])
    if rc != 0:
        reported = last_line(err) or last_line(out)
        what, by_hand = {"add": ("let {} in", "open"), "remove": ("close {}", "close")}[how]
        fix = f"{COMMAND} --list-all on the host shows the zone; {by_hand} the port there by hand, or stop firewalld."
        fail(module, f"firewalld does not {what.format(f'{port}/tcp')}: {reported}", fix, reported)


def main():
    spec = {
        "owner": {"type": "str", "required": True},
        "ports": {"type": "list", "elements": "int", "required": True},
        "close": {"type": "bool", "default": True},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    if run([COMMAND, "--state"])[0] != 0:
        module.exit_json(changed=False)
    owner, ports, notes = module.params["owner"], module.params["ports"], noted()
    ours = set(notes.get(owner, []))
    due = [(port, kind) for port in ports for kind in (NOW, LATER) if not lets_in(port, kind)]
    surplus = sorted(ours - set(ports)) if module.params["close"] else []
    over = [(port, kind) for port in surplus for kind in (NOW, LATER) if lets_in(port, kind)]
    if not module.check_mode:
        ours |= {port for port, kind in due if kind == LATER}
        notes = note(notes, owner, ours)
        for port, kind in due:
            change(module, "add", port, kind)
        for port, kind in over:
            change(module, "remove", port, kind)
        note(notes, owner, ours - set(surplus))
    module.exit_json(changed=bool(due or over))


if __name__ == "__main__":
    main()
