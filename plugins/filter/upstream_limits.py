"""Filter `upstream_limits`: how many requests this proxy sends to each server at a time."""

from __future__ import annotations

DOCUMENTATION = """
name: upstream_limits
short_description: Gives each server of a proxy its limit of requests at a time
description:
  - A server's limit is what its Engines take, one less each, so that they need not refuse; divided among its proxies.
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
        known = self.own if name == self.host or name not in self.hostvars else self.hostvars[name]
        found = known.get(variable)
        return default if found in (None, "") else found

    def engines(self, name):
        """The hosts whose Engines the API of a host asks; a host stands twice for two Engines whose host is not known."""
        addresses = self.value(name, "deepgram_engine_addresses")
        if addresses:
            return [name] * len(addresses)
        alone = name in self.members("api") and name not in self.members("node")
        if not alone:
            return [name]
        beside = [name] if name in self.members("engine") else []
        others = [other for other in self.members("engine") if other != name and other not in self.members("node")]
        return beside + [other for other in others if self._serves(other, name)]

    def _serves(self, engine, api):
        profile, region = self._profile(api), self.value(api, "deepgram_region", "")
        same = self._profile(engine) == profile
        return same and region in ("", self.value(engine, "deepgram_region", ""))

    def _profile(self, name):
        return self.value(name, "deepgram_profile", "stt")

    def room(self, name):
        """Requests at a time that a host's Engine takes; 0 where nothing limits it. Flux has a limit of its own."""
        settings = self.value(name, "deepgram_engine_settings", {})
        key, variable = "max_active_requests", "deepgram_engine_max_active_requests"
        if self._profile(name) == "flux":
            settings, key, variable = settings.get("flux") or {}, "max_streams", "deepgram_flux_max_streams"
        return int((settings[key] if key in settings else self.value(name, variable)) or 0)

    def proxies(self, name):
        """How many proxies send requests to a host, leaving out those that would only if their own region had nobody."""
        everyone = self.members("proxy")
        region = self.value(name, "deepgram_region", "")
        near = [proxy for proxy in everyone if self.value(proxy, "deepgram_region", "") in ("", region)]
        return max(1, len(near or everyone)) if self.host in everyone else 1

    def limit(self, name):
        rooms = [self.room(engine) for engine in self.engines(name)]
        if not rooms or 0 in rooms:
            return 0
        return max(1, sum(max(1, room - 1) for room in rooms) // self.proxies(name))


def upstream_limits(nodes, host, own, groups, hostvars, written="auto"):
    """`nodes`, each with its max_connections."""
    fleet = Fleet(host, own, groups, hostvars)
    found = []
    for node in nodes:
        limit = fleet.limit(node["name"]) if str(written) == "auto" else int(written or 0)
        found.append({**node, "max_connections": int(node.get("max_connections", limit) or 0)})
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"upstream_limits": upstream_limits}
