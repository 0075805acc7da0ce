"""The doctor on boards with NVSwitches: Fabric Manager, without which CUDA refuses there."""

import re
import time

from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown
from ansible.module_utils.doctor.smi import of_cards
from ansible.module_utils.nvidia import nvswitch
from ansible.module_utils.packages.versions import upstream

TRAINING_S = 600  # that a board of NVSwitches may take after a boot


def board(host):
    """The row of the host's NVSwitch board; {} for none."""
    families = {gpu["model"].get("nvswitch") for gpu in host.gpus()}
    key = nvswitch.board(host.table("nvswitch"), families, host.path("/sys/bus/pci/devices"))
    return host.table("nvswitch").get(key, {})


def uptime(host):
    text = host.read("/proc/uptime").split()
    return float(text[0]) if text else time.monotonic()


def fabric(host):
    states, row = of_cards(host, "fabric.state", "fabric.status") or [], board(host)
    if not row:
        return healthy("no NVSwitches on this host")
    if not host.units():
        return unknown("systemd does not say how Fabric Manager is")
    unit = host.units().get("nvidia-fabricmanager.service", {})
    driver, package, runs = host.loaded(), fabric_package(host), unit.get("ActiveState", "")
    seen = f"{row['name']}, Fabric Manager {package or 'not installed'}, {runs or 'no unit'}"
    fabrics = listed(sorted({" ".join(filter(None, values)) for _, values in states}))
    seen += f", fabric {fabrics}" if fabrics else ""
    if not package and host.packages() and runs != "active":
        return unhealthy(seen, "this board has NVSwitches: without Fabric Manager CUDA refuses with error 802")
    if package and driver and upstream(package) != driver:
        cause = f"Fabric Manager must be of the driver's own version {driver}"
        return unhealthy(seen, cause, expected=f"Fabric Manager {driver}")
    if runs != "active":
        return unhealthy(seen, "Fabric Manager does not run", "dgctl provision; or on the server: systemctl enable --now "
                         "nvidia-fabricmanager; journalctl -u nvidia-fabricmanager says why it does not")  # fmt: skip
    bad = [
        values for _, values in states if values[0] and (values[0] != "Completed" or values[1] not in ("Success", ""))
    ]
    if bad and uptime(host) < TRAINING_S:
        return unknown(f"{seen}: the links are still being trained")
    return unhealthy(seen, "Fabric Manager runs, but the links are not trained", "systemctl restart nvidia-fabricmanager; "
                     "journalctl -u nvidia-fabricmanager names the switch or link") if bad else healthy(seen)  # fmt: skip


def fabric_package(host):
    """Version of the package; before branch 580 its name had the branch in it."""
    found = host.packages().installed() if host.packages() else {}
    return next((found[name] for name in sorted(found) if re.fullmatch(r"nvidia-fabric-?manager(-\d+)?", name)), "")


CHECKS = (
    Check(
        "fabric manager", fabric,
        "on boards with NVSwitches: the package's version, the unit, and the fabric's state by nvidia-smi",
        "of the driver's version, running, fabric Completed",
        "without it, or with one of another version than the driver, CUDA refuses with error 802",
        "dgctl provision",
        True, ("fabric.manager_runs", "fabric.manager_matches_driver", "fabric.gpus_joined"),
        stands_on=("driver versions", "package versions"),
    ),
)  # fmt: skip
