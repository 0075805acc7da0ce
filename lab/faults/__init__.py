"""Faults of a server, made below the tools as the real ones are: `bin/lab fault SERVER NAME`, `bin/lab heal SERVER NAME`."""

from __future__ import annotations

from lab.faults import (  # noqa: F401 they register
    certificate,
    configuration,
    containers,
    driver,
    fabric,
    gpu,
    host,
    licence,
    models,
    nginx,
    packages,
    secure_boot,
    service,
    system,
    toolkit,
)
from lab.faults.registry import FAULTS, Fault
from lab.faults.target import Target
from lab.home import Home
from lab.servers import Server
from lab.shell import LabError

__all__ = ["FAULTS", "Fault", "heal", "inject"]


def _find(name: str) -> Fault:
    if name not in FAULTS:
        raise LabError(f"The lab knows no fault `{name}`.", f"Take one of: {', '.join(FAULTS)}")
    return FAULTS[name]


def inject(home: Home, server: Server, name: str) -> str:
    """Makes the fault; returns what was done. LabError when the server has not what the fault needs."""
    return _find(name).inject(Target(home, server, name))


def heal(home: Home, server: Server, name: str) -> str:
    """Takes the fault away again, as the person would who fixes it; returns what was done."""
    return _find(name).heal(Target(home, server, name))
