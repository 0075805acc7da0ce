"""Filter `deepgram_configuration`: what each container's TOML file says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

# Ansible loads each filter by its file, so that one finds another only there.
_spec = importlib.util.spec_from_file_location("deepgram_topology", Path(__file__).with_name("deepgram_topology.py"))
topology = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(topology)

DOCUMENTATION = """
name: deepgram_configuration
short_description: Says what the TOML file of each Engine and API of a server holds
description:
  - Of an Engine, what all have and over it what is particular to it. Of an API the same, its Engines, and over all the settings.
  - An API asks the Engines beside it; on a server with one Engine or none, the addresses that it is given.
positional: _input
options:
  _input:
    description: What C(deepgram_layout) says of the server.
    type: dict
    required: true
  given:
    description:
      - C(engine) and C(api), what all of them have; C(driver), how an API treats an Engine; C(addresses) to ask and C(flags) by
        address, what an Engine of a voice agent is for; C(api_settings), which win.
    type: dict
    required: true
"""
EXAMPLES = """
- name: Show them
  ansible.builtin.debug:
    msg: "{{ layout | deepgram_configuration(given) }}"
"""
RETURN = """
_value:
  description: Component to what its file says.
  type: dict
"""

# What the API's driver says that an Engine of a voice agent is for (chart 0.42.0: api.config.yaml).
FLAGS = ("streaming_stt", "tts", "eot")
PORT = 8080  # an Engine's, inside its container


def asked(api, layout, given):
    """Address -> flag of the Engines that an API asks."""
    beside = [engine for engine in layout["engines"] if engine["component"] in api["engines"]]
    if len(layout["engines"]) > 1 or len(layout["apis"]) > 1:
        return {f"{engine['component']}:{PORT}": engine["driver"] for engine in beside}
    own = {f"{engine['component']}:{PORT}": engine["driver"] for engine in beside}
    flags = {**own, **(given.get("flags") or {})}
    return {address: flags.get(address, "") for address in given["addresses"]}


def drivers(addresses, driver):
    """The entries of driver_pool.standard."""
    found = []
    for address, flag in addresses.items():
        flags = {name: name == flag for name in FLAGS} if flag else {}
        found.append({"url": f"https://{address}/v2", **flags, **driver})
    return found


def configuration(layout, given):
    """Component -> what its TOML file says."""
    over = topology.over
    found = {engine["component"]: over(given["engine"], engine["toml"]) for engine in layout["engines"]}
    for api in layout["apis"]:
        pool = {"driver_pool": {"standard": drivers(asked(api, layout, given), given["driver"])}}
        found[api["component"]] = over(over(over(given["api"], pool), api["toml"]), given["api_settings"])
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"deepgram_configuration": configuration}
