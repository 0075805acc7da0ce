"""Filters that say what of Deepgram runs on a server: its Engines, and an API for each group of them."""

from __future__ import annotations

import functools
from pathlib import Path

import yaml

DOCUMENTATION = """
name: deepgram_layout
short_description: Says which Engines and APIs of Deepgram run on a server, where they listen and what is particular to each
description:
  - Without C(deepgram_engines) a server has one Engine, C(engine), with all of C(deepgram_gpu_devices), and one API, C(api).
  - Each entry of C(deepgram_engines) is an Engine C(engine-NAME). What an entry leaves out comes from the server's variable.
    Engines of one profile (and of Aura, of one language group) answer for each other, behind one API; where a server has several
    such groups, their APIs are C(api-GROUP).
  - Ports count upwards from C(deepgram_api_port), C(deepgram_engine_port) and C(deepgram_metrics_port), in the order of the list.
  - C(deepgram_apis) gives the APIs of a server alone, C(deepgram_engine_peers) the Engines of other servers that an API asks,
    C(deepgram_minimums) what a server with these Engines must have.
positional: _input
options:
  _input:
    description: The server's variables; those that are missing have the defaults of the role deepgram.
    type: dict
    required: true
"""
EXAMPLES = """
- name: Show what runs on another server
  ansible.builtin.debug:
    msg: "{{ hostvars['gpu1'] | deepgram_layout }}"
"""
RETURN = """
_value:
  description: C(engines) and C(apis), each a list of what is particular to one container.
  type: dict
"""

TABLE = Path(__file__).resolve().parents[2] / "roles/platform/vars/main/profiles.yml"
ONE_PER_GPU = "one_per_gpu"
# The defaults of the role deepgram that count here; a test compares them.
USUAL = {
    "deepgram_profile": "stt",
    "deepgram_engines": [],
    "deepgram_gpu_devices": ["nvidia.com/gpu=all"],
    "deepgram_api_port": 8080,
    "deepgram_engine_port": 8080,
    "deepgram_metrics_port": 9991,
    "deepgram_engine_max_active_requests": None,
    "deepgram_flux_max_streams": None,
    "deepgram_engine_settings": {},
    "deepgram_engine_environment": {},
    "deepgram_engine_cpus": None,
    "deepgram_engine_memory": "",
    "deepgram_aura_language": "en",
    "deepgram_aura_max_batch_size": 8,
    "deepgram_agent_kind": "",
    "deepgram_region": "",
}
# What an entry of deepgram_engines calls the variables that are not `deepgram_` and its own word.
SHORT = {
    "gpus": "deepgram_gpu_devices",
    "max_active_requests": "deepgram_engine_max_active_requests",
    "cpus": "deepgram_engine_cpus",
    "memory": "deepgram_engine_memory",
}


@functools.lru_cache(maxsize=1)
def tables():
    """(profiles, Aura's language groups) of role platform."""
    said = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return said["_platform_profiles"], said["_platform_aura_languages"]


class Server:
    """One server's variables, and those of one Engine on it."""

    def __init__(self, variables, entry=None):
        self.variables, self.entry = variables or {}, entry or {}
        self.words = {full: short for short, full in SHORT.items()}

    def value(self, name):
        """A variable as the Engine's entry, the server or the role says it; of Aura's UUIDs those of its language."""
        short = self.words.get(name, name[len("deepgram_") :])
        for found in (self.entry.get(short), self.variables.get(name)):
            if found not in (None, ""):
                return found
        if name.startswith("deepgram_aura_") and name.endswith("_uuid"):
            language = tables()[1].get(str(self.value("deepgram_aura_language")), {})
            return language.get(name[len("deepgram_aura_") :])
        return USUAL.get(name)

    def merged(self, name, short):
        """A mapping of the server's with the entry's own over it."""
        return _over(self.value_of_server(name) or {}, self.entry.get(short) or {})

    def value_of_server(self, name):
        found = self.variables.get(name)
        return USUAL.get(name) if found in (None, "") else found

    @property
    def profile(self):
        return str(self.value("deepgram_profile"))

    @property
    def product(self):
        """The row of the table that the Engine runs as: of a voice agent that of its kind."""
        profiles = tables()[0]
        kind = (profiles.get(self.profile, {}).get("kinds") or {}).get(str(self.value("deepgram_agent_kind")), {})
        return profiles.get(kind.get("as", self.profile), {})

    @property
    def driver(self):
        """What the API's driver says that this Engine is for; "" for everything."""
        kinds = tables()[0].get(self.profile, {}).get("kinds") or {}
        return kinds.get(str(self.value("deepgram_agent_kind")), {}).get("driver", "")

    @property
    def group(self):
        """The name of those that answer for each other."""
        by = tables()[0].get(self.profile, {}).get("groups_by")
        return f"{self.profile}-{self.value(by)}" if by else self.profile

    def keys(self, file):
        """What the product adds to api.toml, engine.toml or the environment: dotted key -> value."""
        row = tables()[0].get(self.profile, {}) if file == "api" else self.product
        added = dict(row.get(file) or {})
        if file == "api" and self.product is not row and self.driver:
            added.update({key: value for key, value in (self.product.get("api") or {}).items() if value is True})
        said = {key: _typed(self.value(name)) for key, name in (row.get(f"{file}_of") or {}).items()}
        return {**added, **{key: value for key, value in said.items() if value is False or value not in (None, "", 0)}}

    def limit(self):
        """Requests at a time that the Engine takes; 0: nothing limits it, or its own settings do not say."""
        limit = self.product.get("limit") or {
            "key": "max_active_requests",
            "variable": "deepgram_engine_max_active_requests",
        }
        found = self.merged("deepgram_engine_settings", "settings")
        for word in limit["key"].split("."):
            found = (found or {}).get(word) if isinstance(found, dict) else None
        return _number(found if found is not None else self.value(limit["variable"]))


def _typed(value):
    """A value of an INI file is text, and TOML knows the difference."""
    if not isinstance(value, str):
        return value
    word = value.strip()
    return int(word) if word.isdigit() else {"true": True, "false": False}.get(word.lower(), value)


def _number(value):
    return int(value) if str(value or "").strip().isdigit() else 0


def _over(one, other):
    """A mapping with another's values in their places."""
    found = dict(one)
    for key, value in other.items():
        both = isinstance(found.get(key), dict) and isinstance(value, dict)
        found[key] = _over(found[key], value) if both else value
    return found


def nested(dotted):
    """{"flux.enabled": true} as {"flux": {"enabled": true}}."""
    found = {}
    for key, value in dotted.items():
        place = found
        *tables_of_key, last = key.split(".")
        for word in tables_of_key:
            place = place.setdefault(word, {})
        place[last] = value
    return found


def entries(variables):
    """The entries of deepgram_engines; an Engine a GPU where one word asks for that."""
    server = Server(variables)
    listed = server.value("deepgram_engines")
    if listed != ONE_PER_GPU:
        return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    devices = server.value("deepgram_gpu_devices")
    if devices == USUAL["deepgram_gpu_devices"]:
        devices = [
            f"nvidia.com/gpu={number}" for number in range(_number((variables or {}).get("preflight_gpu_count")))
        ]
    return [{"name": f"gpu{number}", "gpus": [device]} for number, device in enumerate(devices)]


def engines(variables):
    """What is particular to each Engine of a server, in the order of its list."""
    listed = entries(variables)
    found = []
    for number, entry in enumerate(listed or [{}]):
        server = Server(variables, entry)
        name = str(entry.get("name", number)) if listed else ""
        settings = server.merged("deepgram_engine_settings", "settings")
        added = nested(server.keys("engine"))
        limit = _number(server.value("deepgram_engine_max_active_requests")) or None
        found.append(
            {
                "name": name,
                "kind": "engine",
                "component": f"engine-{name}" if name else "engine",
                "profile": server.profile,
                "group": server.group,
                "driver": server.driver,
                "gpus": list(server.value("deepgram_gpu_devices")),
                "port": int(server.value("deepgram_engine_port")) + number,
                "metrics_port": int(server.value("deepgram_metrics_port")) + number,
                "limit": server.limit(),
                "toml": _over({"max_active_requests": limit, **added}, settings),
                "environment": {
                    **{key: str(value) for key, value in server.keys("environment").items()},
                    **server.merged("deepgram_engine_environment", "environment"),
                },
                "cpus": server.value("deepgram_engine_cpus"),
                "memory": server.value("deepgram_engine_memory"),
            }
        )
    return found


def apis(variables):
    """The APIs of a server: one for each group of its Engines, in the order of the list."""
    listed = entries(variables) or [{}]
    servers = [Server(variables, entry) for entry in listed]
    groups = list(dict.fromkeys(server.group for server in servers))
    found = []
    for number, group in enumerate(groups):
        members = [server for server in servers if server.group == group]
        name = group.replace("_", "-") if len(groups) > 1 else ""
        toml = {}
        for server in members:
            toml = _over(toml, nested(server.keys("api")))
        found.append(
            {
                "name": name,
                "kind": "api",
                "component": f"api-{name}" if name else "api",
                "profile": members[0].profile,
                "group": group,
                "port": int(members[0].value_of_server("deepgram_api_port")) + number,
                "engines": [engine["component"] for engine in engines(variables) if engine["group"] == group],
                "toml": toml,
            }
        )
    return found


def layout(variables):
    """Engines and APIs of a server, by its parts (deepgram_parts; without it both)."""
    parts = (variables or {}).get("deepgram_parts") or ["engine", "api"]
    return {
        "engines": engines(variables) if "engine" in parts else [],
        "apis": apis(variables) if "api" in parts else [],
    }


def peers(own, host, groups, hostvars):
    """{host:port: the driver's flag} of the Engines of other servers that the API of a server without Engines asks.

    Those of its profile and group, and of its region where it has one.
    """
    asking, found = Server(own), {}
    nodes = list((groups or {}).get("node") or [])
    for name in [name for name in (groups or {}).get("engine") or [] if name not in [*nodes, host]]:
        its = hostvars[name]
        region = asking.value("deepgram_region")
        if region not in ("", Server(its).value("deepgram_region")):
            continue
        address = str(its.get("deepgram_address") or its.get("ansible_host") or name)
        shown = f"[{address}]" if ":" in address else address
        found.update({f"{shown}:{one['port']}": one["driver"] for one in engines(its) if one["group"] == asking.group})
    return found


def minimums(variables):
    """What a server with these Engines must have: of each figure the largest, of GPUs as many as all of them get.

    `excluded`: GPUs that one of them cannot use. Deepgram publishes figures of one Engine a server only.
    """
    found, count, excluded = {}, 0, []
    for entry in entries(variables) or [{}]:
        server = Server(variables, entry)
        row = server.product
        needs = row.get("minimums") or tables()[0]["stt"]["minimums"]
        for key, value in needs.items():
            found[key] = max(found.get(key, value), value, key=lambda one: float(one))
        given = server.entry.get("gpus")
        count += len(given) if given else needs["gpu_count"]
        excluded += row.get("excluded") or []
    return {**found, "gpu_count": count, "excluded": sorted(set(excluded))}


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {
            "deepgram_layout": layout,
            "deepgram_apis": apis,
            "deepgram_engine_peers": peers,
            "deepgram_minimums": minimums,
        }
