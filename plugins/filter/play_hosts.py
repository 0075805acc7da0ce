"""Filter `play_hosts`: the pattern of a play's hosts, of those groups that an inventory has."""

from __future__ import annotations

DOCUMENTATION = """
name: play_hosts
short_description: Gives the pattern of a play's hosts
description: Names only groups that the inventory has, because Ansible warns of each other one; without any, nobody.
positional: _input, names
options:
  _input:
    description: Group to the names of its hosts.
    type: dict
    required: true
  names:
    description: >-
      Groups, or a word for several - C(gpus) for C(node) and C(engine), C(deepgram) for these and C(api), C(containers) for
      these, C(license_proxy) and C(billing).
    type: str
    required: true
"""
EXAMPLES = """
- name: Show where containers run
  hosts: "{{ groups | play_hosts('containers') }}"
"""
RETURN = """
_value:
  description: A pattern of hosts, such as C(node:engine).
  type: str
"""

SETS = {"gpus": ("node", "engine"), "deepgram": ("node", "api", "engine")}
SETS["containers"] = (*SETS["deepgram"], "license_proxy", "billing")


def play_hosts(groups, *names):
    """GROUP:GROUP of those that are there; all:!all where none is."""
    found = [group for name in names for group in SETS.get(name, (name,)) if group in (groups or {})]
    return ":".join(found) or "all:!all"


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"play_hosts": play_hosts}
