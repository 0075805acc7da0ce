#!/usr/bin/python
"""Ansible module: everything preflight asks of a host, in one round trip."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_probe
short_description: Collects all preflight findings of a host in one call
description:
  - Looks at system, hardware, GPUs, ports, kernel headers, Secure Boot, clock, and probes name
    resolution, TCP, TLS, the registry login and every model link at the same time.
  - Changes nothing; fails once everything was looked at when a finding is bad, with all findings in the result.
  - Returns which system this is as facts, so that later roles need not ask.
options:
  systems:
    description: Supported systems, each with C(name), C(distributions) (ID in os-release to the name in Ansible's
      facts), C(versions), C(architectures) and C(packages) (the package manager).
    type: list
    elements: dict
    required: true
  wanted:
    description: What is to be installed, as module_utils/preflight/support.py has it.
    type: dict
    default: {}
  machine:
    description: What the host must have, whatever it serves.
    type: dict
    required: true
    suboptions:
      minimums:
        description: cpu_cores, memory_mb (MiB), disk_gb (GB free for models), gpu_memory_mb (MiB),
          gpu_compute_capability, gpu_count.
        type: dict
        required: true
      base:
        description: Values that O(machine.minimums) have when nobody set them; such a value gives way to the one in
          O(machine.usual).
        type: dict
        required: true
      usual:
        description: The usual minimums for what this node serves; what is set below them is returned in
          RV(lowered).
        type: dict
        required: true
      models_dir: {description: Where the models go., type: path, required: true}
      journal:
        description: Of Billing's journal the C(directory), and C(minimum_gb), the GB that must be free there; empty without one.
        type: dict
        default: {}
      uploads:
        description: >-
          Of the file system for what callers send the C(image), its file, and C(gb), its size; empty without one.
        type: dict
        default: {}
      deployed_mark:
        description: A file that exists once the host is deployed; then disk must only hold what is still
          missing.
        type: path
        required: true
      controller_time: {description: "The controller's clock, seconds since the epoch.", type: float, required: true}
      max_clock_offset_s: {description: "Largest difference of the clocks, seconds.", type: int, default: 30}
  gpu:
    description: What the host must have for an Engine.
    type: dict
    required: true
    suboptions:
      engine:
        description: Whether an Engine is to run here; without one nothing is asked about GPUs.
        type: bool
        default: true
      table: {description: "PCI id to C(name), C(memory_mib) and C(compute_capability).", type: dict, required: true}
      count: {description: "Exact number of GPUs, if the user gave one.", type: int}
      names:
        description: Names of the GPUs as nvidia-smi shows them, if the user gave them.
        type: list
        elements: str
        default: []
      excluded:
        description: PCI ids that cannot serve what this node is to serve.
        type: list
        elements: str
        default: []
      driver:
        description: The driver that is wanted, C(branch), C(kernel_module) (auto, open or proprietary), C(source) and
          C(mig_disable_allowed); and the tables to judge it by, C(branches), C(generations), C(nvswitch) and
          C(nvswitch_packages).
        type: dict
        default: {}
      driver_packages:
        description: Names of the driver's packages, by what the systems' driver sources name.
        type: dict
        default: {}
      lifecycle:
        description: C(source) of the driver, C(addresses) of its repositories, and whether the driver's role may do what it
          would be refused for else, C(remove_other_sources) and C(reboot); C(persistence) where it runs NVIDIA's daemon.
        type: dict
        default: {}
  ports:
    description: Ports that the host is to listen on.
    type: dict
    required: true
    suboptions:
      free:
        description: >-
          Ports to be free, each with C(port), C(address) and C(service). A port may be held by anybody's program of the name
          C(shared_by).
        type: list
        elements: dict
        default: []
      nginx_config:
        description: This deployment's NGINX file; an NGINX that holds a port belongs to the deployment when
          this file listens there.
        type: path
        required: true
  registry:
    description: Where the images come from.
    type: dict
    required: true
    suboptions:
      address: {description: "Registry host and namespace, as in C(quay.io/deepgram).", type: str, required: true}
      images:
        description: Names of the images below O(registry.address).
        type: list
        elements: str
        default: []
      release:
        description: Tag that O(registry.images) must have; when empty and without digests, only the way to the
          registry is probed.
        type: str
        default: ""
      digests:
        description: Digests to ask for instead of the tag, by the last word of the image's name (C(api),
          C(engine)).
        type: dict
        default: {}
      pins:
        description: Digest by REPOSITORY:RELEASE that servers go on to run, whatever the tag leads to by now.
        type: dict
        default: {}
      archive:
        description: Archive of images that C(dgctl images load) brought; the registry is not asked for what it has.
        type: path
        default: /var/lib/deepgram/images/archive.tar
      username: {description: Account at the registry., type: str, default: ""}
      password: {description: Its password., type: str, default: ""}
  network:
    description: What the host must reach beside.
    type: dict
    required: true
    suboptions:
      servers: {description: Servers to reach; label to a list of URLs., type: dict, default: {}}
      model_links:
        description: Links of the models, each a string or a dict with C(url).
        type: list
        elements: raw
        default: []
      timeout_s: {description: Seconds for one network probe., type: int, default: 10}
extends_documentation_fragment:
  - check_mode
"""

EXAMPLES = r"""
- name: Look at everything at once
  preflight_probe:
    systems:
      - {name: Debian 13, distributions: {debian: Debian}, versions: ["13"], architectures: [x86_64], packages: apt}
    machine:
      minimums: "{{ _preflight_minimums }}"
      base: "{{ _preflight_base }}"
      usual: "{{ _preflight_usual }}"
      models_dir: /var/lib/deepgram/models
      deployed_mark: /etc/deepgram/images.json
      controller_time: "{{ '%s' | ansible.builtin.strftime }}"
    gpu:
      table: {"10de:1eb8": {name: Tesla T4, memory_mib: 15360, compute_capability: "7.5"}}
    ports: {nginx_config: /etc/nginx/conf.d/deepgram.conf}
    registry: {address: quay.io/deepgram}
    network: {}
"""

RETURN = r"""
findings:
  description: One a check, with check, verdict (pass, fail, skip), seen, expected, fix.
  type: list
  returned: always
lowered:
  description: Minimums that are below their usual value, with name, value, usual.
  type: list
  returned: always
ansible_facts:
  description: distribution, distribution_version, distribution_major_version and pkg_mgr, as
    C(ansible.builtin.setup) gives them; nvidia_host, see the module M(nvidia_gpus), where O(gpu.driver) is given; and
    nvidia_leftovers, whether another source of the driver left something, null where nobody looked for it.
  type: dict
  returned: always
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.containers import archive
from ansible.module_utils.host import os_release
from ansible.module_utils.preflight import boot as preflight_boot
from ansible.module_utils.preflight import engine as preflight_engine
from ansible.module_utils.preflight import host as preflight_host
from ansible.module_utils.preflight import minimums as preflight_minimums
from ansible.module_utils.preflight import network as preflight_network
from ansible.module_utils.preflight import ports as preflight_ports
from ansible.module_utils.preflight import support as preflight_support
from ansible.module_utils.preflight import units as preflight_units


def desired_of(params):
    """What is to be installed; what is not said is not to be."""
    nothing = dict.fromkeys(
        ("engine", "engine_source", "engine_repository", "driver_source", "driver_key", "branch", "kernel_module"), ""
    )
    return {**nothing, "engine_packages": [], "components": [], **params["wanted"]}


def look(params, minimums, driver):
    """(all findings, in the order in which a person would want to read them; tags that have moved)."""
    machine, systems = params["machine"], params["systems"]
    # Before the probes take their time.
    clock = preflight_host.clock(machine["controller_time"], machine["max_clock_offset_s"])
    system, desired = os_release.entry(systems, os_release.fields()), desired_of(params)
    repositories = preflight_support.repositories(system, desired)
    models_dir = machine["models_dir"]
    over_network, missing_bytes, moved = preflight_network.of_host(
        params["network"], params["registry"], repositories, models_dir
    )
    found = preflight_host.administrator() + preflight_host.system(systems)
    found += preflight_support.combination(systems, system, desired) if system else []
    found += preflight_host.cores(minimums["cpu_cores"]) + preflight_host.memory(minimums["memory_mb"])
    deployed = os.path.exists(machine["deployed_mark"])
    found += preflight_host.disk(models_dir, minimums["disk_gb"], missing_bytes, deployed)
    found += preflight_host.journal(machine["journal"], models_dir, missing_bytes)
    found += preflight_host.uploads(machine["uploads"], models_dir, missing_bytes)
    found += preflight_engine.findings(params["gpu"], minimums, system, driver, desired)
    ports = params["ports"]
    parts = {port["part"] for port in ports["free"] if "part" in port}
    persistence = params["gpu"]["lifecycle"].get("persistence")
    units = preflight_units.needed(parts, desired["engine"], desired["components"], persistence)
    found += preflight_units.masked(units)
    return found + clock + preflight_ports.ports(ports["free"], ports["nginx_config"]) + over_network, moved


def complaint(findings):
    """(what failed in a line, the list of it with what to do), or None when nothing failed."""
    failed = [found for found in findings if found["verdict"] == "fail"]
    if not failed:
        return None
    names = ", ".join(found["check"] for found in failed)
    lines = ["- {check}: {seen}; expected {expected}. {fix}\n".format(**found) for found in failed]
    return (
        f"{len(failed)} of {len(findings)} preflight checks failed: {names}",
        "correct these, nothing has been changed yet:\n" + "".join(lines),
    )


MACHINE = {
    "minimums": {"type": "dict", "required": True},
    "base": {"type": "dict", "required": True},
    "usual": {"type": "dict", "required": True},
    "models_dir": {"type": "path", "required": True},
    "journal": {"type": "dict", "default": {}},
    "uploads": {"type": "dict", "default": {}},
    "deployed_mark": {"type": "path", "required": True},
    "controller_time": {"type": "float", "required": True},
    "max_clock_offset_s": {"type": "int", "default": 30},
}
GPU = {
    "engine": {"type": "bool", "default": True},
    "table": {"type": "dict", "required": True},
    "count": {"type": "int"},
    "names": {"type": "list", "elements": "str", "default": []},
    "excluded": {"type": "list", "elements": "str", "default": []},
    "driver": {"type": "dict", "default": {}},
    "driver_packages": {"type": "dict", "default": {}},
    "lifecycle": {"type": "dict", "default": {}},
}
PORTS = {
    "free": {"type": "list", "elements": "dict", "default": []},
    "nginx_config": {"type": "path", "required": True},
}
REGISTRY = {
    "address": {"type": "str", "required": True},
    "images": {"type": "list", "elements": "str", "default": []},
    "release": {"type": "str", "default": ""},
    "digests": {"type": "dict", "default": {}},
    "pins": {"type": "dict", "default": {}},
    "archive": {"type": "path", "default": archive.PLACE},
    "username": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
}
NETWORK = {
    "servers": {"type": "dict", "default": {}},
    "model_links": {"type": "list", "elements": "raw", "default": [], "no_log": True},
    "timeout_s": {"type": "int", "default": 10},
}
TOPICS = {"machine": MACHINE, "gpu": GPU, "ports": PORTS, "registry": REGISTRY, "network": NETWORK}


def main():
    topics = {name: {"type": "dict", "required": True, "options": options} for name, options in TOPICS.items()}
    module = AnsibleModule(
        argument_spec={
            "systems": {"type": "list", "elements": "dict", "required": True},
            "wanted": {"type": "dict", "default": {}},
            **topics,
        },
        supports_check_mode=True,
    )
    params = module.params
    numbers = preflight_minimums.as_numbers
    configured, base, usual = (numbers(params["machine"][key]) for key in ("minimums", "base", "usual"))
    minimums = preflight_minimums.effective(configured, base, usual)
    system = os_release.facts(params["systems"], os_release.fields())
    driver = preflight_engine.desired_driver(params["gpu"], params["systems"], system)
    findings, moved = look(params, minimums, driver)
    facts = {**system, **({"ansible_nvidia_host": driver.facts()} if driver else {})}
    facts["ansible_nvidia_leftovers"] = preflight_boot.seen_leftover(findings)
    lowered = preflight_minimums.lowered(minimums, usual)
    result = {"findings": findings, "lowered": lowered, "moved": moved, "ansible_facts": facts}
    wrong = complaint(findings)
    if wrong:
        module.fail_json(msg="{}. Fix: {}".format(*wrong), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
