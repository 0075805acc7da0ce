"""Filters that say what of Deepgram runs on a server: its Engines, and an API for each group of them."""

from __future__ import annotations

import functools
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote

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
  - C(deepgram_nodes) gives of a server whose watchdog runs also C(watch), where proxies ask it whether it is out.
  - C(deepgram_apis) gives the APIs of a server alone, C(deepgram_urls) where each container says how it is,
    C(deepgram_nodes) the APIs that an NGINX sends requests to, C(deepgram_engine_peers) the Engines of other servers that an API
    asks, C(deepgram_fleet) the Engines of all servers, C(deepgram_minimums) what a server must have.
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
WATCH_PORT = 9810  # node_watch_port
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
    "deepgram_target_inputs": None,
    "deepgram_engine_settings": {},
    "deepgram_engine_extra_settings": {},
    "deepgram_engine_environment": {},
    "deepgram_engine_cpus": None,
    "deepgram_engine_memory": "",
    "deepgram_aura_language": "en",
    "deepgram_aura_max_batch_size": 8,
    "deepgram_agent_kind": "",
    "deepgram_region": "",
    "deepgram_region_fallback": [],
}
# What an entry of deepgram_engines calls the variables that are not `deepgram_` and its own word.
SHORT = {
    "gpus": "deepgram_gpu_devices",
    "max_active_requests": "deepgram_engine_max_active_requests",
    "cpus": "deepgram_engine_cpus",
    "memory": "deepgram_engine_memory",
}
WORDS = {full: short for short, full in SHORT.items()}


@functools.lru_cache(maxsize=1)
def tables():
    """(profiles, Aura's language groups) of role platform."""
    reported = yaml.load(TABLE.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return reported["_platform_profiles"], reported["_platform_aura_languages"]


class Server:
    """One server's variables, and those of one Engine on it."""

    def __init__(self, variables, entry=None):
        self.variables, self.entry = variables or {}, entry or {}

    def value(self, name):
        """A variable as the Engine's entry, the server or the role says it; of Aura's UUIDs those of its language."""
        short = WORDS.get(name, name[len("deepgram_") :])
        for found in (self.entry.get(short), self.variables.get(name)):
            if found not in (None, ""):
                return found
        if name.startswith("deepgram_aura_") and name.endswith("_uuid"):
            language = tables()[1].get(str(self.value("deepgram_aura_language")), {})
            return language.get(name[len("deepgram_aura_") :])
        return USUAL.get(name)

    def merged(self, name, short):
        """A mapping of the server's with the entry's own over it."""
        return over(self.value_of_server(name) or {}, self.entry.get(short) or {})

    def settings(self):
        """What the inventory sets in engine.toml itself."""
        known = self.merged("deepgram_engine_settings", "settings")
        return over(known, self.merged("deepgram_engine_extra_settings", "extra_settings"))

    @property
    def tls(self):
        """Whether the server's APIs answer over TLS; images for FIPS do nothing else."""
        own = self.variables.get("deepgram_api_tls")
        return is_true(self.variables.get("deepgram_fips") if own in (None, "") else own)

    def value_of_server(self, name):
        found = self.variables.get(name)
        return USUAL.get(name) if found in (None, "") else found

    def port(self, name):
        """A port of the server's; the usual one for what is none, which validation says."""
        return _number(self.value_of_server(name)) or USUAL[name]

    @property
    def region(self):
        return str(self.value("deepgram_region"))

    @property
    def fallback(self):
        """The regions whose Engines an API asks while its own has none, the first preferred."""
        return [str(region) for region in _list(self.value("deepgram_region_fallback"))]

    @property
    def profile(self):
        return str(self.value("deepgram_profile"))

    @property
    def row(self):
        """The profile's row of the table."""
        return tables()[0].get(self.profile, {})

    @property
    def kind(self):
        """Of an Engine of a voice agent, what the row says of its kind; {} for others."""
        return (self.row.get("kinds") or {}).get(str(self.value("deepgram_agent_kind")), {})

    @property
    def product(self):
        """The row of the table that the Engine runs as: of a voice agent that of its kind."""
        return tables()[0].get(self.kind.get("as", self.profile), {})

    @property
    def driver(self):
        """What the API's driver says that this Engine is for; "" for everything."""
        return self.kind.get("driver", "")

    @property
    def group(self):
        """The name of those that answer for each other."""
        by = self.row.get("groups_by")
        return f"{self.profile}-{self.value(by)}" if by else self.profile

    @property
    def patterns(self):
        """Names of the model files that the Engine is to have; [] for those that no product claims."""
        return list(self.entry.get("models") or self.kind.get("models") or self.product.get("models") or [])

    def keys(self, file):
        """What the product adds to api.toml, engine.toml or the environment: dotted key -> value."""
        row = self.row if file == "api" else self.product
        added = dict(row.get(file) or {})
        if file == "api" and self.product is not row and self.driver:
            added.update({key: value for key, value in (self.product.get("api") or {}).items() if value is True})
        reported = {key: _typed(self.value(name)) for key, name in (row.get(f"{file}_of") or {}).items()}
        return {
            **added,
            **{key: value for key, value in reported.items() if value is False or value not in (None, "", 0)},
        }

    def room(self):
        """Requests at a time that the proxies together send to the Engine: deepgram_target_inputs, or one less than its limit."""
        target, limit = _number(self.value("deepgram_target_inputs")), self.limit()
        return target or (max(1, limit - 1) if limit else 0)

    def limit(self):
        """Requests at a time that the Engine takes; 0: nothing limits it. A setting counts before the variable, null too."""
        reported = self.product.get("limit") or tables()[0]["stt"]["limit"]
        *above, last = reported["key"].split(".")
        place = self.settings()
        for word in above:
            place = place.get(word) if isinstance(place.get(word), dict) else {}
        return _number(place[last] if last in place else self.value(reported["variable"]))


def _typed(value):
    """A value of an INI file is text, and TOML knows the difference."""
    if not isinstance(value, str):
        return value
    word = value.strip()
    return int(word) if word.isdigit() else {"true": True, "false": False}.get(word.lower(), value)


def is_true(value):
    """Of an INI file a switch is text."""
    return str(value).strip().lower() in ("true", "yes", "on", "1")


def _number(value):
    return int(value) if str(value or "").strip().isdigit() else 0


def _is_on(value):
    """A switch that is on by default; of an INI file it is text."""
    return str(value).strip().lower() not in ("false", "no", "off", "0")


def _list(value):
    return list(value) if isinstance(value, (list, tuple)) else []


def over(one, other):
    """A mapping with another's values in their places."""
    found = dict(one) if isinstance(one, dict) else {}
    for key, value in (other if isinstance(other, dict) else {}).items():
        both = isinstance(found.get(key), dict) and isinstance(value, dict)
        found[key] = over(found[key], value) if both else value
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


def file_names(variables):
    """The names of the server's model files, from its links."""
    links = _list((variables or {}).get("deepgram_models_links"))
    urls = [str(link.get("url", "") if isinstance(link, dict) else link) for link in links]
    return [unquote(url.partition("?")[0].partition("#")[0].rpartition("/")[2]) for url in urls]


def models(server, servers, files):
    """The model files of one of a server's Engines; None for the whole directory, where they all are of one group."""
    if len({each.group + each.driver for each in servers}) < 2 and not any(
        each.entry.get("models") for each in servers
    ):
        return None
    claimed = [name for row in tables()[0].values() for name in row.get("models") or []]
    claimed += [name for kind in tables()[0]["agent"]["kinds"].values() for name in kind.get("models") or []]
    if server.patterns:
        return [file for file in files if any(fnmatchcase(file, name) for name in server.patterns)]
    return [file for file in files if not any(fnmatchcase(file, name) for name in claimed)]


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
    return [{"name": f"gpu{number}", "gpus": [device]} for number, device in enumerate(_list(devices))]


def servers_of(variables):
    """A Server for each Engine; none where there is to be one for each GPU, and nothing says how many there are."""
    listed = entries(variables)
    if not listed and Server(variables).value("deepgram_engines") == ONE_PER_GPU:
        return []
    return [Server(variables, entry) for entry in listed or [{}]]


def name_of(number, server):
    """An Engine's name; "" for the only one of a server without a list."""
    return str(server.entry.get("name", number)) if server.entry else ""


def component(kind, name):
    return f"{kind}-{name}" if name else kind


def engines(variables):
    """What is particular to each Engine of a server, in the order of its list."""
    servers, files, found = servers_of(variables), file_names(variables), []
    for number, server in enumerate(servers):
        name = name_of(number, server)
        settings = server.settings()
        added = nested(server.keys("engine"))
        limit = _number(server.value("deepgram_engine_max_active_requests")) or None
        found.append(
            {
                "name": name,
                "kind": "engine",
                "component": component("engine", name),
                "profile": server.profile,
                "group": server.group,
                "driver": server.driver,
                "gpus": _list(server.value("deepgram_gpu_devices")),
                "port": server.port("deepgram_engine_port") + number,
                "metrics_port": server.port("deepgram_metrics_port") + number,
                "limit": server.limit(),
                "room": server.room(),
                "toml": over({"max_active_requests": limit, **added}, settings),
                "environment": {
                    **{key: str(value) for key, value in server.keys("environment").items()},
                    **server.merged("deepgram_engine_environment", "environment"),
                },
                "models": models(server, servers, files),
                "cpus": server.value("deepgram_engine_cpus"),
                "memory": server.value("deepgram_engine_memory"),
            }
        )
    return found


def apis(variables):
    """The APIs of a server: one for each group of its Engines, in the order of the list."""
    servers = servers_of(variables)
    groups = list(dict.fromkeys(server.group for server in servers))
    found = []
    for number, group in enumerate(groups):
        members = {number: server for number, server in enumerate(servers) if server.group == group}
        first = next(iter(members.values()))
        name = group.replace("_", "-") if len(groups) > 1 else ""
        toml = {}
        for server in members.values():
            toml = over(toml, nested(server.keys("api")))
        found.append(
            {
                "name": name,
                "kind": "api",
                "component": component("api", name),
                "profile": first.profile,
                "group": group,
                "port": first.port("deepgram_api_port") + number,
                "engines": [component("engine", name_of(*member)) for member in members.items()],
                "toml": toml,
            }
        )
    return found


def layout(variables, parts=None):
    """Engines and APIs of a server, by its parts (else deepgram_parts; without it both)."""
    if parts is None:
        parts = (variables or {}).get("deepgram_parts", ["engine", "api"])
    return {
        "engines": engines(variables) if "engine" in parts else [],
        "apis": apis(variables) if "api" in parts else [],
    }


def urls(variables, api="127.0.0.1", metrics="127.0.0.1", parts=None):
    """Component -> the address at which it says on the server itself how it is. `api`, `metrics`: where they listen."""
    found = layout(variables, parts)
    engines_at = {one["component"]: f"http://{metrics}:{one['metrics_port']}/metrics" for one in found["engines"]}
    scheme = "https" if Server(variables).tls else "http"
    return {**engines_at, **{one["component"]: f"{scheme}://{api}:{one['port']}/v1/status" for one in found["apis"]}}


def address_of(name, its):
    """Where other servers reach one; IPv6 in brackets."""
    address = str(its.get("deepgram_address") or its.get("ansible_host") or name)
    return f"[{address}]" if ":" in address else address


def peers(own, host, groups, hostvars):
    """{host:port: the driver's flag} of the Engines of other servers that the API of a server without Engines asks.

    Those of its profile and group, and where it has a region, of the region that `asked` chooses.
    """
    asking, found = Server(own), {}
    for name, those in asked(asking, host, groups, hostvars).items():
        at = address_of(name, hostvars[name])
        found.update({f"{at}:{one['port']}": one["driver"] for one in those})
    return found


def asked(asking, host, groups, hostvars):
    """Host -> its Engines, of those servers that an API without Engines of its own asks.

    Of one region alone where it has one: api.toml spreads requests evenly over all that it names, and knows no order.
    """
    nodes = list((groups or {}).get("node") or [])
    names = [name for name in (groups or {}).get("engine") or [] if name not in [*nodes, host]]
    those = {name: [one for one in engines(hostvars[name]) if one["group"] == asking.group] for name in names}
    those = {name: found for name, found in those.items() if found}
    if not asking.region:
        return those
    regions = {name: Server(hostvars[name]).region for name in those}
    chosen = _chosen([asking.region, *asking.fallback], those, regions)
    near = {name: [one for one in found if chosen[one["driver"]] == regions[name]] for name, found in those.items()}
    return {name: found for name, found in near.items() if found}


def _chosen(order, those, regions):
    """What an Engine is for (of a voice agent's; else "") -> the first region of `order` that has one; None: none has."""
    having = {}
    for name, found in those.items():
        for one in found:
            having.setdefault(one["driver"], set()).add(regions[name])
    return {driver: next((region for region in order if region in has), None) for driver, has in having.items()}


def fleet(groups, hostvars):
    """Host -> its Engines, as `engines` gives them, of every server that runs some."""
    names = dict.fromkeys(name for group in ("node", "engine") for name in (groups or {}).get(group) or [])
    return {name: engines(hostvars.get(name, {})) for name in names}


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


def nodes(host, groups, hostvars):
    """The APIs that an NGINX sends requests to: those of all servers behind a proxy, or those of its own server.

    {name: the server's, address, profile, region}; `watch`, where its watchdog answers a proxy; of a server with several also
    `id`, of Aura `language`, with TLS `tls`.
    """
    groups = groups or {}
    if host in (groups.get("proxy") or []):
        servers = list(dict.fromkeys([*(groups.get("node") or []), *(groups.get("api") or [])]))
        return [node for name in servers for node in _nodes(name, hostvars[name], name == host, False)]
    return _nodes(host, hostvars[host], True, True)


def _nodes(name, its, beside, alone):
    at = "127.0.0.1" if beside else address_of(name, its)
    found, server = apis(its), Server(its)
    listed = []
    for api in found:
        profile = "all" if alone and len(found) == 1 else api["profile"]
        node = {
            "name": name,
            "address": f"{at}:{api['port']}",
            "profile": profile,
            "region": server.value("deepgram_region"),
        }
        if not alone and _is_on(its.get("node_watch_enabled")):
            node["watch"] = f"{at}:{_number(its.get('node_watch_port')) or WATCH_PORT}"
        if len(found) > 1:
            node["id"] = f"{name}/{api['name']}"
        if server.tls:
            node["tls"] = True
        if profile != "all" and tables()[0].get(profile, {}).get("groups_by"):
            node["language"] = api["group"][len(profile) + 1 :]
        listed.append(node)
    return listed


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {
            "deepgram_layout": layout,
            "deepgram_apis": apis,
            "deepgram_urls": urls,
            "deepgram_nodes": nodes,
            "deepgram_engine_peers": peers,
            "deepgram_minimums": minimums,
            "deepgram_fleet": fleet,
        }
