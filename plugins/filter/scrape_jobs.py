"""Filter `scrape_jobs`: what a Prometheus reads of a fleet, and where."""

from __future__ import annotations

DOCUMENTATION = """
name: scrape_jobs
short_description: Gives the jobs and targets of a fleet for Prometheus
description:
  - Each server has one exporter (role host_metrics), which tells of itself and hands on the Engine's metrics and those of the
    node exporter. So a server is one address, and a job is a path.
  - The labels C(instance), C(profile) and C(region) are the server's name in the inventory and what it serves. A server with
    several Engines has a target for each, with the label C(engine) and a path of its own (C(__metrics_path__)).
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
  here:
    description: The host that runs Prometheus, which reaches itself on loopback; empty for one elsewhere.
    type: str
    default: ""
  engines:
    description: Host to its Engines, as C(deepgram_fleet) gives them; one Engine for a host without.
    type: dict
    default: {}
"""
EXAMPLES = """
- name: Show the jobs
  ansible.builtin.debug:
    msg: "{{ groups | scrape_jobs(hostvars, inventory_hostname) }}"
"""
RETURN = """
_value:
  description: List of C({job, path, targets}), a target being C({address, labels}); jobs without a target are left out.
  type: list
  elements: dict
"""

SERVING, ENGINES = ("node", "api", "engine"), ("node", "engine")
# Job: the exporter's path, the groups whose servers have it, and the variable that can switch it off.
JOBS = {
    "deepgram_engine": ("/relay/engine", ENGINES, ""),
    "deepgram_host": ("/metrics", (*SERVING, "proxy", "license_proxy", "billing"), ""),
    "node": (
        "/relay/node",
        (*SERVING, "proxy", "license_proxy", "billing", "monitoring"),
        "host_metrics_node_exporter",
    ),
}
PORT = 9809  # host_metrics_port


def address_of(name, its, here):
    """host:port of a server's exporter; IPv6 in brackets."""
    host = "127.0.0.1" if name == here else str(its.get("deepgram_address") or its.get("ansible_host") or name)
    return f"{f'[{host}]' if ':' in host else host}:{its.get('host_metrics_port') or PORT}"


def variables_of(hostvars, name):
    if name in hostvars:
        return hostvars[name]
    return {}


def is_on(its, variable):
    value = its.get(variable, True) if variable else True
    return str(value).strip().lower() not in ("false", "no", "off", "0")


def labels_of(name, its, serves):
    known = {"instance": name}
    if serves:
        known["profile"] = str(its.get("deepgram_profile") or "stt")
    if its.get("deepgram_region"):
        known["region"] = str(its["deepgram_region"])
    return known


def targets_of(name, its, here, serves, engines):
    """The targets of a server in one job: one, or one for each of several Engines."""
    one = {"address": address_of(name, its, here), "labels": labels_of(name, its, serves)}
    if len(engines) < 2:
        return [one]
    own = [{"profile": engine["profile"], "engine": engine["component"]} for engine in engines]
    return [
        {**one, "labels": {**one["labels"], **says, "__metrics_path__": f"/relay/{says['engine']}"}} for says in own
    ]


def scrape_jobs(groups, hostvars, here="", engines=None):
    """The jobs of a fleet with their targets, in the inventory's order."""
    groups, found = groups or {}, []
    serving = {name for group in SERVING for name in groups.get(group) or []}
    for job, (path, members, switch) in JOBS.items():
        names = dict.fromkeys(name for group in members for name in groups.get(group) or [])
        targets = []
        for name in names:
            its = variables_of(hostvars, name)
            if is_on(its, switch):
                several = (engines or {}).get(name, []) if members == ENGINES else []
                targets += targets_of(name, its, here, name in serving, several)
        if targets:
            found.append({"job": job, "path": path, "targets": targets})
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"scrape_jobs": scrape_jobs}
