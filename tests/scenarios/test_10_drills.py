"""Drills: each fault of lab/faults.toml is made; doctor and verify call it by its name, and the cure that they give works.

Some of them here, all with `bin/test --all`, there some with Podman and on an Enterprise Linux too. A server is provisioned
once for all drills of its hardware, and is the healthy twin of each: before a fault and after its cure, doctor finds nothing.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from dgctl.doctor_table import doctor
from tests.scenarios.rack import Rack
from tests.scenarios.servers import PROJECT, Deployment, Run, Server

FAULTS = tomllib.loads((PROJECT / "lab/faults.toml").read_text())
QUICK = ("pcie-width", "gpu-off-bus", "cdi-stale", "package-upgraded", "engine-on-cpu", "clock-off")
CHOSEN = list(FAULTS) if os.environ.get("DGCTL_TEST_ALL") else [name for name in FAULTS if name in QUICK]
# Those that a container's engine has a part in, and those that the lab makes without apt.
WITH_PODMAN = [name for name in FAULTS if FAULTS[name]["setup"] == "deployed" and FAULTS[name]["engine"] == "any"]
WITHOUT_APT = (
    *("gpu-off-bus", "gpu-missing", "cdi-stale", "docker-runtime-lost", "daemon-json-malformed", "nvml-unknown-error"),
    *("engine-on-cpu", "disk-full", "clock-off", "pcie-width", "retirement-pending", "xid-79", "nouveau-loaded"),
)
# What a fault needs of the server: the GPUs that it is made with, beside what every server can be.
GPUS = {"any": "t4", "none": "t4", "mig": "a100-40", "switch": "hgx-h100", "old": "v100", "blackwell": "b200"}
# A word of the cure that must be given, by the fault.
CURES = {
    "library-mismatch": "dgctl provision",
    "module-missing-next-kernel": "dkms autoinstall",
    "nouveau-loaded": "modprobe -r nouveau",
    "module-key-rejected": "mokutil --import",
    "gpu-off-bus": "reboot",
    "gpu-missing": "reseat",
    "fabricmanager-missing": "dgctl provision",
    "fabricmanager-version": "dgctl provision",
    "toolkit-versions": "dgctl provision",
    "cdi-stale": "rm /etc/cdi/",
    "cdi-version": "dgctl provision",
    "docker-runtime-lost": "dgctl provision",
    "daemon-json-malformed": "systemctl restart docker",
    "nvml-unknown-error": "--force-recreate engine",
    "engine-on-cpu": "--force-recreate engine",
    "libcuda-missing": "systemctl restart nvidia-cdi-refresh.service",
    "package-upgraded": "nvidia-modprobe=",
    "held-broken": "dpkg --configure -a",
    "two-sources": "apt-get purge",
    "dpkg-locked": "ps -fp",
    "disk-full": "du -xh",
    "repository-signature": "dgctl provision",
    "clock-off": "timedatectl set-ntp true",
    "mig-enabled": "-mig 0",
    "pre-turing-open": "nvidia_driver_kernel_module: proprietary",
    "blackwell-proprietary": "nvidia_driver_kernel_module: open",
    "pcie-width": "reseat",
    "retirement-pending": "reboot",
    "xid-79": "reboot",
}
PODMAN_CURES = {
    "nvml-unknown-error": "systemctl restart deepgram-engine.service",
    "engine-on-cpu": "dgctl provision",
}
# Waiting for a lock that a drill holds for ever is no part of the drill.
SETTINGS = {"nvidia_driver_lock_timeout_s": 1}
# What allows a repair that loses something, by the fault.
ALLOWED = {
    "mig-enabled": {"nvidia_driver_mig_disable_allowed": True},
    "two-sources": {"nvidia_driver_remove_other_sources": True},
}


@dataclass
class Drill:
    """One fault on a server that is healthy."""

    name: str
    ground: tuple[str, str]
    deployment: Deployment
    server: Server
    cured: bool = False

    @property
    def check(self) -> str:
        return FAULTS[self.name]["check"]

    @property
    def cure(self) -> str:
        return (PODMAN_CURES if "podman" in self.ground else {}).get(self.name, CURES[self.name])

    def finding(self, run: Run) -> dict[str, str]:
        """What is found by the fault's check."""
        (found,) = [check for check in run.document["checks"] if check["check"] == self.check]
        return found

    def names_in_verify(self) -> set[str]:
        known = next(check for check in doctor().CHECKS if check.name == self.check)
        return set(known.verify) or {f"health.{self.check}"}


@pytest.fixture(scope="module")
def rack() -> Iterator[Rack]:
    found = Rack("drills", **SETTINGS)
    yield found
    found.clear()


@pytest.fixture
def drill(rack: Rack, ground: tuple[str, str], name: str) -> Iterator[Drill]:
    """A drill on a server of which doctor finds nothing, and finds nothing again at the end."""
    made = Drill(name, ground, *rack.server_with(GPUS[FAULTS[name]["gpu"]], *ground))
    healthy(made.deployment)
    yield made
    if not made.cured:  # it failed half way: the next drill begins healthy all the same
        made.server.heal(name)
        made.deployment.dgctl("provision", "--yes", "--full")


def healthy(deployment: Deployment) -> None:
    run = deployment.dgctl("doctor")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert run.failed_checks() == set()


def by_hardware(name: str) -> int:
    return list(GPUS).index(FAULTS[name]["gpu"].replace("none", "any"))


# Container engine and system, and the drills there.
GROUNDS = {("docker", "debian13"): sorted(CHOSEN, key=by_hardware)}
if os.environ.get("DGCTL_TEST_ALL"):
    ON_ANY = [name for name in FAULTS if GPUS[FAULTS[name]["gpu"]] == "t4"]
    GROUNDS |= {("docker", "ubuntu2404"): ON_ANY, ("podman", "debian13"): WITH_PODMAN, ("docker", "el9"): WITHOUT_APT}
CASES = [(ground, name) for ground, names in GROUNDS.items() for name in names]


@pytest.mark.parametrize(("ground", "name"), CASES, ids=["-".join([*ground, name]) for ground, name in CASES])
def test_drill(drill: Drill, tmp_path) -> None:
    drill.server.fault(drill.name)
    run = drill.deployment.dgctl("doctor")
    found = drill.finding(run)
    assert run.exit_code == 8 and found["verdict"] == "fail", (found, run.problems())
    assert drill.cure in found["fix"] and found["cause"], found
    seen = drill.deployment.dgctl("verify")
    assert seen.exit_code == 8
    assert seen.failed_checks() & drill.names_in_verify(), seen.failed_checks()
    repair = FAULTS[drill.name]["repair"]
    if repair == "no":
        drill.server.heal(drill.name)
        run = drill.deployment.dgctl("provision", "--yes")  # its API may blame itself for what failed meanwhile
    else:
        allowed = ALLOWED.get(drill.name, {})
        deployment = drill.deployment.variant(tmp_path / "allowed", **allowed) if allowed else drill.deployment
        # As the finding says: what a look does not see, takes --full.
        run = deployment.dgctl("provision", "--yes", *(["--full"] if "--full" in found["fix"] else []))
    assert run.exit_code == 0, run.problems() + run.stderr
    healthy(drill.deployment)
    drill.cured = True


def test_every_fault_has_a_drill() -> None:
    assert set(CURES) == set(FAULTS)
    assert {row["check"] for row in FAULTS.values()} <= {check.name for check in doctor().CHECKS}
    assert set(QUICK) <= set(FAULTS)
