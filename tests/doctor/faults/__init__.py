"""What can be wrong with a server, as functions that break a patient so, with what the doctor then reports."""

from tests.doctor.faults import (
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
