"""Filter `upstream_limits`: how many requests this proxy sends to each server at a time."""

from __future__ import annotations

import importlib.util
from pathlib import Path

# Ansible loads each filter by its file, so that one finds another only there.
_spec = importlib.util.spec_from_file_location("deepgram_topology", Path(__file__).with_name("deepgram_topology.py"))
topology = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(topology)

DOCUMENTATION = """
name: upstream_limits
short_description: Gives each server of a proxy its limit of requests at a time
description:
  - A server's limit is what its Engines are to get (C(deepgram_target_inputs)), or what they take, one less each, so that they
    need not refuse; divided among its proxies, which together never have more. Which proxies get one more than the others changes
    with the server.
  - The Engines of an API on a host of its own are those of its profile and region, as in the role deepgram.
  - 0 is no limit. Without one are all servers of which one Engine has none.
positional: _input
options:
  _input:
    description: The servers, as C({name, address, profile, region}); C(max_connections) is kept where one has it.
    type: list
    elements: dict
    required: true
  host:
    description: This proxy's name in the inventory.
    type: str
    required: true
  own:
    description: This proxy's variables, which count for itself and for servers that the inventory does not know.
    type: dict
    required: true
  groups:
    description: Group to the names of its hosts.
    type: dict
    required: true
  hostvars:
    description: Host to its variables.
    type: dict
    required: true
  written:
    description: What the user wrote for every server, undivided; V(auto) for what is said above.
    type: raw
    default: auto
"""
EXAMPLES = """
- name: Show the limits
  ansible.builtin.debug:
    msg: "{{ nginx_proxy_nodes | upstream_limits(inventory_hostname, own, groups, hostvars) }}"
"""
RETURN = """
_value:
  description: The same list, each with C(max_connections).
  type: list
  elements: dict
"""


class Fleet:
    """The inventory, seen from one proxy."""

    def __init__(self, host, own, groups, hostvars):
        self.host, self.own, self.groups, self.hostvars = host, own, groups or {}, hostvars or {}

    def members(self, group):
        return list(self.groups.get(group) or [])

    def value(self, name, variable, default=None):
        """A host's variable: of this host, and of one that the inventory does not know, its own."""
        found = self.variables(name).get(variable)
        return default if found in (None, "") else found

    def variables(self, name):
        """A host's variables: those of this one, and of one that the inventory does not know, its own."""
        return self.own if name == self.host or name not in self.hostvars else self.hostvars[name]

    def rooms(self, node):
        """Requests at a time that each Engine is sent which the API of a node asks; 0 where nothing limits one."""
        name, its = node["name"], self.variables(node["name"])
        addresses = self.value(name, "deepgram_engine_addresses")
        engines = topology.engines(its)
        if addresses and len(engines) == 1:
            return [engines[0]["room"]] * len(addresses)
        alone = name in self.members("api") and name not in self.members("node")
        if not alone:
            group = self._group(node, its)
            return [engine["room"] for engine in engines if engine["group"] == group]
        asking = topology.Server(its)
        beside = engines if name in self.members("engine") else []
        variables = {other: self.variables(other) for other in self.members("engine")}
        far = topology.asked(asking, name, self.groups, variables).values()
        return [engine["room"] for engine in beside if engine["group"] == asking.group] + [
            engine["room"] for engines in far for engine in engines
        ]

    def _group(self, node, its):
        """The group of the API at a node's port; that of the first API where none is there."""
        found = topology.apis(its)
        port = str(node.get("address") or "").rpartition(":")[2]
        return next((api["group"] for api in found if str(api["port"]) == port), found[0]["group"])

    def proxies(self, name):
        """The proxies that send requests to a host, leaving out those that would only if their own region had nobody."""
        everyone = self.members("proxy")
        region = self.value(name, "deepgram_region", "")
        near = [proxy for proxy in everyone if self.value(proxy, "deepgram_region", "") in ("", region)]
        return (near or everyone) if self.host in everyone else [self.host]

    def limit(self, node, number):
        """This proxy's share of a node's room, the `number`-th of its list: together they are the room, each at least 1."""
        rooms = self.rooms(node)
        if not rooms or 0 in rooms:
            return 0
        proxies = self.proxies(node["name"])
        share, left = divmod(sum(rooms), len(proxies))
        at = proxies.index(self.host) if self.host in proxies else len(proxies) - 1
        return max(1, share + ((at - number) % len(proxies) < left and self.host in proxies))


def upstream_limits(nodes, host, own, groups, hostvars, written="auto"):
    """`nodes`, each with its max_connections."""
    fleet = Fleet(host, own, groups, hostvars)
    found = []
    for number, node in enumerate(nodes):
        limit = fleet.limit(node, number) if str(written) == "auto" else int(written or 0)
        found.append({**node, "max_connections": int(node.get("max_connections", limit) or 0)})
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"upstream_limits": upstream_limits}
