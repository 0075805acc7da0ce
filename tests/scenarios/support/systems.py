"""What scenarios apply on simulated servers, by system, engine and the driver's source; docs/generate.py marks it."""

from __future__ import annotations

from typing import NamedTuple


class Way(NamedTuple):
    """One line of the tables of role platform, applied: a key of _platform_systems, and what the deployment chooses."""

    system: str
    engine: str
    source: str
    branch: str


# Those of test_11_systems.py. The first is applied by every `bin/test`, the others by `bin/test --all`.
WAYS = (
    Way("ubuntu2404", "docker", "distribution", "580"),
    Way("debian12", "docker", "nvidia", "580"),
    Way("ubuntu2404", "docker", "nvidia", "580"),
    Way("ubuntu2404", "docker", "nvidia", "595"),
    Way("ubuntu2404", "podman", "nvidia", "580"),
    Way("ubuntu2204", "docker", "distribution", "595"),
)
# Those that other scenarios apply.
ELSEWHERE = (
    Way("debian13", "docker", "nvidia", "580"),
    Way("debian13", "podman", "nvidia", "580"),
    Way("el9", "docker", "nvidia", "580"),
    Way("el9", "docker", "nvidia", "595"),
    Way("el9", "podman", "nvidia", "580"),
)
# Systems of the table whose packages, sources and files are rendered in tests, and that no simulated server has: why.
RENDERED = {
    "el8": "its packages are those of el9 but for names that are rendered; the oldest Python is tested in tests/pythons",
    "el10": "its packages are those of el9 but for names that are rendered",
}
# The package that stands for the driver, and Docker's, as they must be there afterwards.
LEADS = {
    ("debian12", "nvidia", "580"): "nvidia-open",
    ("ubuntu2404", "nvidia", "580"): "nvidia-open-580",
    ("ubuntu2404", "nvidia", "595"): "nvidia-open",
    ("ubuntu2404", "distribution", "580"): "nvidia-headless-no-dkms-580-server-open",
    ("ubuntu2204", "distribution", "595"): "nvidia-headless-no-dkms-595-server-open",
}
