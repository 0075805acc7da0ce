"""Fabric Manager is missing, or of another version than the driver."""

from __future__ import annotations

from lab.faults.packages import INSTALL, other_version
from lab.faults.registry import heal, inject
from lab.faults.target import Target

PACKAGE, UNIT = "nvidia-fabricmanager", "nvidia-fabricmanager.service"


@inject("fabricmanager-missing")
def missing(target: Target) -> str:
    target.sh(f"""
    systemctl disable --now {UNIT} 2>/dev/null || true
    if dpkg-query -W {PACKAGE} >/dev/null 2>&1; then apt-get remove -qy --allow-change-held-packages {PACKAGE}; fi
    rm -f /run/simulated-kernel/nvidia/fabric
    """)
    return f"{PACKAGE} is not installed, and the NVLink fabric not configured."


@inject("fabricmanager-version")
def version(target: Target) -> str:
    """As after an upgrade of the driver alone and a reboot: it does not start."""
    other = other_version(target)
    target.sh(f"""
    {INSTALL} {PACKAGE}={other}
    systemctl daemon-reload
    systemctl enable -q {UNIT}
    systemctl restart {UNIT} || true
    rm -f /run/simulated-kernel/nvidia/fabric
    """)
    return target.sh(f'journalctl -u {UNIT} -o cat | grep "don\'t match" | tail -1')


@heal("fabricmanager-missing")
@heal("fabricmanager-version")
def right(target: Target) -> str:
    return target.sh(f"""
    version=$(cat /sys/module/nvidia/version)
    {INSTALL} {PACKAGE}=$version-1 >/dev/null 2>&1
    systemctl daemon-reload
    systemctl enable -q {UNIT}
    systemctl restart {UNIT}
    echo "{PACKAGE} $version runs."
    """)
