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
  engine:
    description: Whether an Engine is to run here; without one nothing is asked about GPUs.
    type: bool
    default: true
  wanted:
    description: What is to be installed, as module_utils/preflight/support.py has it.
    type: dict
    default: {}
  driver_packages:
    description: Names of the driver's packages, by what the systems' driver sources name.
    type: dict
    default: {}
  gpus:
    description: PCI id to C(name), C(memory_mib) and C(compute_capability).
    type: dict
    required: true
  driver:
    description: The driver that is wanted, C(branch), C(kernel_module) (auto, open or proprietary), C(source) and
      C(mig_disable_allowed); and the tables to judge it by, C(branches), C(generations), C(nvswitch) and
      C(nvswitch_packages).
    type: dict
    default: {}
  driver_lifecycle:
    description: C(source) of the driver, C(addresses) of its repositories, and whether the driver's role may do what it
      would be refused for else, C(remove_other_sources) and C(reboot); C(persistence) where it runs NVIDIA's daemon.
    type: dict
    default: {}
  excluded_gpus:
    description: PCI ids that cannot serve what this node is to serve.
    type: list
    elements: str
    default: []
  minimums:
    description: cpu_cores, memory_mb (MiB), disk_gb (GB free for models), gpu_memory_mb (MiB),
      gpu_compute_capability, gpu_count.
    type: dict
    required: true
  base:
    description: Values that O(minimums) have when nobody set them; such a value gives way to the one in
      O(usual).
    type: dict
    required: true
  usual:
    description: The usual minimums for what this node serves; what is set below them is returned in
      RV(lowered).
    type: dict
    required: true
  gpu_count:
    description: Exact number of GPUs, if the user gave one.
    type: int
  gpu_names:
    description: Names of the GPUs as nvidia-smi shows them, if the user gave them.
    type: list
    elements: str
    default: []
  ports:
    description: Ports to be free, each with C(port), C(address) and C(service).
    type: list
    elements: dict
    default: []
  nginx_config:
    description: This deployment's NGINX file; an NGINX that holds a port belongs to the deployment when
      this file listens there.
    type: path
    required: true
  servers:
    description: Servers to reach; label to a list of URLs.
    type: dict
    default: {}
  registry:
    description: Registry host and namespace, as in C(quay.io/deepgram).
    type: str
    required: true
  images:
    description: Names of the images below O(registry).
    type: list
    elements: str
    default: []
  release:
    description: Tag that O(images) must have; when empty and without digests, only the way to the
      registry is probed.
    type: str
    default: ""
  image_digests:
    description: Digests to ask for instead of the tag, by the last word of the image's name (C(api),
      C(engine)).
    type: dict
    default: {}
  registry_username:
    description: Account at the registry.
    type: str
    default: ""
  registry_password:
    description: Its password.
    type: str
    default: ""
  model_links:
    description: Links of the models, each a string or a dict with C(url).
    type: list
    elements: raw
    default: []
  models_dir:
    description: Where the models go.
    type: path
    required: true
  deployed_mark:
    description: A file that exists once the host is deployed; then disk must only hold what is still
      missing.
    type: path
    required: true
  controller_time:
    description: The controller's clock, seconds since the epoch.
    type: float
    required: true
  max_clock_offset_s:
    description: Largest difference of the clocks, seconds.
    type: int
    default: 30
  timeout_s:
    description: Seconds for one network probe.
    type: int
    default: 10
extends_documentation_fragment:
  - check_mode
"""

EXAMPLES = r"""
- name: Look at everything at once
  preflight_probe:
    systems:
      - {name: Debian 13, distributions: {debian: Debian}, versions: ["13"], architectures: [x86_64], packages: apt}
    gpus: {"10de:1eb8": {name: Tesla T4, memory_mib: 15360, compute_capability: "7.5"}}
    minimums: "{{ _preflight_minimums }}"
    base: "{{ _preflight_base }}"
    usual: "{{ _preflight_usual }}"
    registry: quay.io/deepgram
    models_dir: /var/lib/deepgram/models
    nginx_config: /etc/nginx/conf.d/deepgram.conf
    deployed_mark: /etc/deepgram/images.json
    controller_time: "{{ '%s' | ansible.builtin.strftime }}"
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
    C(ansible.builtin.setup) gives them; nvidia_host, see the module M(nvidia_gpus), where O(driver) is given; and
    nvidia_leftovers, whether another source of the driver left something, null where nobody looked for it.
  type: dict
  returned: always
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host import os_release
from ansible.module_utils.preflight import boot as preflight_boot
from ansible.module_utils.preflight import driver as preflight_driver
from ansible.module_utils.preflight import gpu as preflight_gpu
from ansible.module_utils.preflight import host as preflight_host
from ansible.module_utils.preflight import network as preflight_network
from ansible.module_utils.preflight import ports as preflight_ports
from ansible.module_utils.preflight import support as preflight_support
from ansible.module_utils.preflight import units as preflight_units

INTEGERS = ("cpu_cores", "memory_mb", "disk_gb", "gpu_memory_mb", "gpu_count")


def as_numbers(values):
    """Inventory values may be strings."""
    return {key: int(value) if key in INTEGERS else str(value) for key, value in values.items()}


def effective(minimums, base, usual):
    """What the user set counts; what nobody set follows what the host is to serve.

    What was lowered for Engines raises nothing on a host that needs less.
    """
    number = preflight_gpu.number
    found = {key: value if value != base[key] else usual[key] for key, value in minimums.items()}
    low = [key for key, value in minimums.items() if number(value) < number(base[key])]
    return {**found, **{key: min(found[key], usual[key], key=number) for key in low}}


def lowered(minimums, usual):
    """The minimums that somebody set below the usual ones."""
    low = [key for key in sorted(usual) if preflight_gpu.number(minimums[key]) < preflight_gpu.number(usual[key])]
    return [{"name": "preflight_min_" + key, "value": minimums[key], "usual": usual[key]} for key in low]


def links(raw):
    """URLs of the model links, which are strings or dicts."""
    return [link["url"] if isinstance(link, dict) else link for link in raw]


def images(params):
    """Full names of the images to ask for."""
    names = []
    for image in params["images"]:
        digest = params["image_digests"].get(image.rsplit("-", 1)[-1])
        reference = "@" + digest if digest else ":" + params["release"] if params["release"] else ""
        names += ["{}/{}{}".format(params["registry"], image, reference)] if reference else []
    return names


def network(params, repositories):
    """Findings of all network probes, and the bytes of models that are still to come."""
    wanted = images(params)
    servers = [(label, url) for label, urls in {**params["servers"], **repositories}.items() for url in urls]
    if not wanted and params["images"]:
        servers.append(("registry", "https://" + params["registry"]))
    account = (params["registry_username"], params["registry_password"])
    return preflight_network.probes(
        servers, wanted, account, links(params["model_links"]), params["models_dir"], params["timeout_s"]
    )


def wanted_of(params):
    """What is to be installed; what is not said is not to be."""
    nothing = dict.fromkeys(
        ("engine", "engine_source", "engine_repository", "driver_source", "driver_key", "branch", "kernel_module"), ""
    )
    return {**nothing, "engine_packages": [], **params["wanted"]}


def of_gpus(params, minimums, system, driver):
    """Findings about GPUs and what their driver will need; none for a host that needs no GPU."""
    if not params["engine"]:
        return []
    wanted = {"count": params["gpu_count"], "names": params["gpu_names"], "excluded": params["excluded_gpus"]}
    found = preflight_gpu.gpus(params["gpus"], minimums, wanted)
    if not found:
        return []
    found += driver.findings() if driver else []
    allowed = params["driver"].get("mig_disable_allowed", False)
    found += [preflight_gpu.mig(allowed=allowed), preflight_gpu.nouveau(), *of_lifecycle(params["driver_lifecycle"])]
    decided = {"kernel_module": driver.facts()["kernel_module"]} if driver else {}
    found += preflight_support.for_kernel(system, params["driver_packages"], {**wanted_of(params), **decided})
    return preflight_boot.without_headers(found, params["driver_lifecycle"].get("reboot"))


def of_lifecycle(allowed):
    """Findings about what is there already, and what would be after the next boot."""
    source, addresses = allowed.get("source", "nvidia"), allowed.get("addresses", [])
    return preflight_boot.leftovers(source, addresses, allowed.get("remove_other_sources")) + preflight_boot.next_boot()


def look(params, minimums, driver):
    """All findings, in the order in which a person would want to read them."""
    clock = preflight_host.clock(
        params["controller_time"], params["max_clock_offset_s"]
    )  # before the probes take their time
    system, wanted = os_release.entry(params["systems"], os_release.fields()), wanted_of(params)
    over_network, missing_bytes = network(params, preflight_support.repositories(system, wanted))
    deployed = os.path.exists(params["deployed_mark"])
    found = preflight_host.administrator() + preflight_host.system(params["systems"])
    found += preflight_support.combination(params["systems"], system, wanted) if system else []
    found += preflight_host.cores(minimums["cpu_cores"]) + preflight_host.memory(minimums["memory_mb"])
    found += preflight_host.disk(params["models_dir"], minimums["disk_gb"], missing_bytes, deployed)
    found += of_gpus(params, minimums, system, driver)
    parts = {port["part"] for port in params["ports"] if "part" in port}
    persistence = params["driver_lifecycle"].get("persistence")
    found += preflight_units.masked(preflight_units.needed(parts, wanted["engine"], persistence))
    return found + clock + preflight_ports.ports(params["ports"], params["nginx_config"]) + over_network


def wanted_driver(params, system):
    """The wanted driver with the host's GPUs; None for a host that needs none."""
    if not params["engine"] or not params["driver"]:
        return None
    row = os_release.entry(params["systems"], os_release.fields())
    offered = ((row.get("driver") or {}).get(params["driver"]["source"]) or {}).get("branches")
    wanted = {**params["driver"], "packages": system.get("ansible_pkg_mgr", ""), "offered": offered}
    return preflight_driver.Wanted({**params["driver"], "gpus": params["gpus"]}, wanted)


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


def main():
    module = AnsibleModule(
        argument_spec={
            "systems": {"type": "list", "elements": "dict", "required": True},
            "engine": {"type": "bool", "default": True},
            "wanted": {"type": "dict", "default": {}},
            "driver_packages": {"type": "dict", "default": {}},
            "gpus": {"type": "dict", "required": True},
            "driver": {"type": "dict", "default": {}},
            "driver_lifecycle": {"type": "dict", "default": {}},
            "excluded_gpus": {"type": "list", "elements": "str", "default": []},
            "minimums": {"type": "dict", "required": True},
            "base": {"type": "dict", "required": True},
            "usual": {"type": "dict", "required": True},
            "gpu_count": {"type": "int"},
            "gpu_names": {"type": "list", "elements": "str", "default": []},
            "ports": {"type": "list", "elements": "dict", "default": []},
            "nginx_config": {"type": "path", "required": True},
            "servers": {"type": "dict", "default": {}},
            "registry": {"type": "str", "required": True},
            "images": {"type": "list", "elements": "str", "default": []},
            "release": {"type": "str", "default": ""},
            "image_digests": {"type": "dict", "default": {}},
            "registry_username": {"type": "str", "default": ""},
            "registry_password": {"type": "str", "default": "", "no_log": True},
            "model_links": {"type": "list", "elements": "raw", "default": [], "no_log": True},
            "models_dir": {"type": "path", "required": True},
            "deployed_mark": {"type": "path", "required": True},
            "controller_time": {"type": "float", "required": True},
            "max_clock_offset_s": {"type": "int", "default": 30},
            "timeout_s": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    configured, base, usual = (as_numbers(module.params[key]) for key in ("minimums", "base", "usual"))
    minimums = effective(configured, base, usual)
    system = os_release.facts(module.params["systems"], os_release.fields())
    driver = wanted_driver(module.params, system)
    findings = look(module.params, minimums, driver)
    facts = {**system, **({"ansible_nvidia_host": driver.facts()} if driver else {})}
    facts["ansible_nvidia_leftovers"] = preflight_boot.seen_leftover(findings)
    result = {"findings": findings, "lowered": lowered(minimums, usual), "ansible_facts": facts}
    wrong = complaint(findings)
    if wrong:
        module.fail_json(msg="{}. Fix: {}".format(*wrong), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
