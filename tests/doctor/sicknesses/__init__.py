"""What can be wrong with a server, as functions that make a patient so, with what the doctor then says."""

from tests.doctor.sicknesses import (
    api,
    certificate,
    driver,
    engines,
    gpus,
    nginx,
    packages,
    proxy,
    service,
    states,
    system,
    toolkit,
)

__all__ = [
    "api",
    "certificate",
    "driver",
    "engines",
    "gpus",
    "nginx",
    "packages",
    "proxy",
    "service",
    "states",
    "system",
    "toolkit",
]
