"""Filters `license_servers` and `license_proxy_upstream`: whom servers, and their License Proxies, ask for a licence."""

from __future__ import annotations

import importlib.util
from pathlib import Path

# Ansible loads each filter by its file, so that one finds another only there.
_spec = importlib.util.spec_from_file_location("deepgram_topology", Path(__file__).with_name("deepgram_topology.py"))
topology = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(topology)

DOCUMENTATION = """
name: license_servers
short_description: Gives the licence servers that APIs and Engines ask, the preferred one first
description:
  - The License Proxies of the group C(license_proxy), then Deepgram's own servers.
  - Where the group C(billing) has a server there is an air gap, and nobody asks Deepgram's own - the License Proxies alone are
    asked, or where there is none, Billing.
positional: _input
options:
  _input:
    description: Group to the names of its hosts.
    type: dict
    required: true
  hostvars:
    description: Host to its variables.
    type: dict
    required: true
  upstream:
    description: Deepgram's own licence servers.
    type: list
    elements: str
    default: []
"""
EXAMPLES = """
- name: Show whom this deployment asks
  ansible.builtin.debug:
    msg: "{{ groups | license_servers(hostvars, ['https://license.deepgram.com']) }}"
"""
RETURN = """
_value:
  description: List of URLs.
  type: list
  elements: str
"""

PORT = 8443  # license_proxy_port and billing_port where an inventory says nothing: the roles' defaults


def has_air_gap(groups):
    return bool((groups or {}).get("billing"))


def urls(groups, hostvars, group):
    """https://ADDRESS:PORT of a group's servers, in the inventory's order."""
    return [
        f"https://{topology.address_of(name, hostvars[name])}:{hostvars[name].get(group + '_port') or PORT}"
        for name in (groups or {}).get(group) or []
    ]


def license_servers(groups, hostvars, upstream=()):
    """What APIs and Engines ask. Behind an air gap the proxies are not passed by (chart 0.47.0, GH #190)."""
    proxies = urls(groups, hostvars, "license_proxy")
    if has_air_gap(groups):
        return proxies or urls(groups, hostvars, "billing")
    return [*proxies, *upstream]


def license_proxy_upstream(groups, hostvars, host, upstream=()):
    """What a License Proxy asks, one server: of several with Billing each proxy another one, in turn."""
    billing = urls(groups, hostvars, "billing")
    if not billing:
        return list(upstream)
    proxies = list((groups or {}).get("license_proxy") or [])
    return [billing[(proxies.index(host) if host in proxies else 0) % len(billing)]]


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"license_servers": license_servers, "license_proxy_upstream": license_proxy_upstream}
