"""Preflight checks of a host that is to run an Engine: GPUs, what their driver will need, what is there already.

`gpu`: the parameter of module preflight_probe.
"""

from ansible.module_utils.host import os_release
from ansible.module_utils.preflight import boot as preflight_boot
from ansible.module_utils.preflight import driver as preflight_driver
from ansible.module_utils.preflight import gpu as preflight_gpu
from ansible.module_utils.preflight import support as preflight_support


def desired_driver(gpu, systems, facts):
    """The wanted driver with the host's GPUs; None for a host that needs none."""
    if not gpu["engine"] or not gpu["driver"]:
        return None
    row = os_release.entry(systems, os_release.fields())
    offered = ((row.get("driver") or {}).get(gpu["driver"]["source"]) or {}).get("branches")
    desired = {**gpu["driver"], "packages": facts.get("ansible_pkg_mgr", ""), "offered": offered}
    return preflight_driver.Wanted({**gpu["driver"], "gpus": gpu["table"]}, desired)


def findings(gpu, minimums, system, driver, desired):
    """Findings about GPUs and what their driver will need; none for a host that needs no GPU."""
    if not gpu["engine"]:
        return []
    asked = {"count": gpu["count"], "names": gpu["names"], "excluded": gpu["excluded"]}
    found = preflight_gpu.gpus(gpu["table"], minimums, asked)
    if not found:
        return []
    found += driver.findings() if driver else []
    allowed = gpu["driver"].get("mig_disable_allowed", False)
    found += [preflight_gpu.mig(allowed=allowed), preflight_gpu.nouveau(), *lifecycle(gpu["lifecycle"])]
    decided = {"kernel_module": driver.facts()["kernel_module"]} if driver else {}
    found += preflight_support.for_kernel(system, gpu["driver_packages"], {**desired, **decided})
    return preflight_boot.without_headers(found, gpu["lifecycle"].get("reboot"))


def lifecycle(allowed):
    """Findings about what is there already, and what would be after the next boot."""
    source, addresses = allowed.get("source", "nvidia"), allowed.get("addresses", [])
    return preflight_boot.leftovers(source, addresses, allowed.get("remove_other_sources")) + preflight_boot.next_boot()
