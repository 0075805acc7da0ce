"""Drills: each fault of lab/faults.toml is made; doctor and verify name it, and the remediation that they give works.

Those of a GPU are detected on Debian with Docker by every `bin/test`; `bin/test --all` repairs all faults, on
other systems and with Podman too. A server is provisioned once for all drills of its hardware, and is the healthy twin of each:
before a fault and after its repair, doctor finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from dgctl import content
from tests.scenarios.support.servers import Deployment, Server
from tests.scenarios.support.stories import EVERYTHING, FAULTS, WORKSHOP_HAS, with_all

QUICK = ("pcie-width", "gpu-off-bus", "cdi-stale", "package-upgraded", "engine-on-cpu", "clock-off")
# Those that a container's engine has a part in, and those that the lab makes without apt.
WITH_PODMAN = [name for name in FAULTS if FAULTS[name]["setup"] == "deployed" and FAULTS[name]["engine"] == "any"]
WITHOUT_APT = (
    *("gpu-off-bus", "gpu-missing", "cdi-stale", "docker-runtime-lost", "daemon-json-malformed", "nvml-unknown-error"),
    *("engine-on-cpu", "disk-full", "clock-off", "pcie-width", "retirement-pending", "xid-79", "nouveau-loaded"),
)
# What a fault needs of the server: the GPUs that it is made with. The workshop's server has those of `any` and `mig`.
GPUS = {"any": "t4", "none": "t4", "mig": "a100-40", "switch": "hgx-b200", "blackwell": "b200", "old": "v100"}
# A word of the fix that must be given, by the fault.
FIXES = {
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
    "nginx-masked": "systemctl unmask nginx",
    "nginx-not-reloaded": "systemctl reload nginx",
    "proxy-without-cap": "dgctl provision",
    "certificate-of-five-days": "dgctl provision",
    "engine-hangs": "docker restart -t 5 deepgram-engine",
    "limit-under-a-table": "dgctl provision",
    "model-truncated": "dgctl provision",
    "key-file-open": "chmod 600 /etc/deepgram/deepgram.env",
    "boot-unit-disabled": "systemctl enable deepgram.service",
    "nginx-stopped": "systemctl enable --now nginx",
    "nginx-refuses-its-files": "correct what it names",
    "second-default-server": "rm /etc/nginx/conf.d/other-team.conf",
    "nginx-out-of-connections": "nginx_proxy_worker_connections",
    "nginx-out-of-descriptors": "systemctl reload nginx",
    "certificate-ended": "dgctl provision",
    "certificate-of-another-name": "dgctl provision",
    "certificate-without-its-chain": "dgctl provision",
    "certificate-of-another-key": "dgctl provision",
    "engine-of-another-image": "--force-recreate engine",
    "release-expired": "deepgram_release",
    "engine-paused": "docker unpause deepgram-engine",
    "api-asks-another-engine": "dgctl provision",
    "api-blames-itself": "--force-recreate api",
    "api-on-its-default": "--force-recreate api",
    "api-stale-mount": "--force-recreate api",
    "licence-unreachable": "license.lab.test",
    "licence-refused": "deepgram_api_key",
    "mtu-black-hole": "docker_daemon_options: {mtu: 1400}",
    "companion-missing": "dgctl provision",
    "model-bit-flipped": "rm /var/lib/deepgram/models/",
    "model-of-another-project": "rm /var/lib/deepgram/models/",
    "inodes-out": "du --inodes",
    "file-handles-out": "ls $p/fd",
    "conntrack-full": "sysctl -w net.netfilter.nf_conntrack_max=",
    "gpu-device-closed": "chmod 0666 /dev/nvidia0",
    "resolver-dead": "/etc/resolv.conf",
    "resolver-slow": "/etc/resolv.conf",
    "second-firewall": "ufw allow 443/tcp",
    "ecc-errors": "--gpu-reset",
    "gpu-too-hot": "fans",
    "hold-lifted": "dgctl provision",
}
PODMAN_FIXES = {
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
    repaired: bool = False

    @property
    def check(self) -> str:
        return FAULTS[self.name]["check"]

    @property
    def fix(self) -> str:
        return (PODMAN_FIXES if "podman" in self.ground else {}).get(self.name, FIXES[self.name])

    def detected(self) -> dict[str, str]:
        """Makes the fault; what doctor finds by its check, with the remediation that it must give."""
        self.server.fault(self.name)
        run = self.deployment.dgctl("doctor")
        (found,) = [check for check in run.document["checks"] if check["check"] == self.check]
        assert run.exit_code == 8 and found["verdict"] == "fail", (found, run.problems())
        assert self.fix in found["fix"] and found["cause"], found
        return found

    def names_in_verify(self) -> set[str]:
        known = next(check for check in content.utility("doctor.doctor").CHECKS if check.name == self.check)
        return set(known.verify) or {f"health.{self.check}"}


@pytest.fixture
def drill(request, ground: tuple[str, str], name: str, needs: str) -> Iterator[Drill]:
    """A drill on a server of which doctor finds nothing, and finds nothing again at the end."""
    made = Drill(name, ground, *place(request, ground, needs))
    (made.deployment.folder / "group_vars/all/zz_settings.yml").write_text(yaml.safe_dump(SETTINGS))
    if KNOWN_HEALTHY.get(made.server.name) != made.deployment.inventory:
        healthy(made)
    del KNOWN_HEALTHY[made.server.name]
    yield made
    if not made.repaired:  # it failed half way: the next drill begins healthy all the same
        made.server.heal(name)
        made.deployment.dgctl("provision", "--yes", "--full")


def place(request, ground: tuple[str, str], needs: str) -> tuple[Deployment, Server]:
    if ground == USUAL and needs in WORKSHOP_HAS:
        return request.getfixturevalue("workshop")
    return request.getfixturevalue("rack").server_with(GPUS[needs], *ground)


KNOWN_HEALTHY: dict[str, Path] = {}  # a server of which doctor has just found nothing, and its inventory


def healthy(drill: Drill) -> None:
    run = drill.deployment.dgctl("doctor")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert run.failed_checks() == set()
    KNOWN_HEALTHY[drill.server.name] = drill.deployment.inventory


# Of each check the first fault of the table: another one of the same check is drilled by `bin/test --all`, on the usual ground.
FIRST = set({FAULTS[name]["check"]: name for name in reversed(FAULTS) if FAULTS[name]["gpu"] in WORKSHOP_HAS}.values())
# Container engine and system, and the drills there.
USUAL = ("docker", "debian13")
REPAIRED = {USUAL: list(FAULTS) if EVERYTHING else list(QUICK)}
if EVERYTHING:
    ON_ANY = [name for name in FAULTS if name in FIRST and GPUS[FAULTS[name]["gpu"]] == "t4"]
    WITH_PODMAN = [name for name in WITH_PODMAN if name in FIRST]
    REPAIRED |= {("docker", "ubuntu2404"): ON_ANY, ("podman", "debian13"): WITH_PODMAN, ("docker", "el9"): WITHOUT_APT}
LOOPS = ("libcuda-missing",)  # its Engine ended again and again, which verify remembers for a while
WAITS = ("mtu-black-hole",)  # for the minute after which a container asks its licence server again
# Each takes a quarter of a minute, and its check has tests of its own.
LATER = (
    *("api-asks-another-engine", "api-blames-itself", "api-on-its-default", "certificate-of-another-name"),
    *("certificate-without-its-chain", "conntrack-full", "ecc-errors", "engine-of-another-image", "file-handles-out"),
    *("gpu-too-hot", "hold-lifted", "nginx-out-of-connections", "nginx-refuses-its-files", "second-firewall"),
)
# These, and what needs another server than the workshop's, are for `bin/test --all`.
NOT_HERE = {*QUICK, *LOOPS, *WAITS, *LATER}
DETECTED = {} if EVERYTHING else {USUAL: [name for name in FAULTS if name in FIRST and name not in NOT_HERE]}


def on(grounds: dict[tuple[str, str], list[str]]):
    """A test for each ground and fault, those of one hardware together."""
    found = [
        (ground, name, FAULTS[name]["gpu"])
        for ground, names in grounds.items()
        for name in sorted(names, key=lambda name: list(GPUS).index(FAULTS[name]["gpu"].replace("none", "any")))
    ]
    ids = ["-".join([*ground, name]) for ground, name, _ in found]
    return pytest.mark.parametrize(("ground", "name", "needs"), found, ids=ids)


@on(DETECTED)
def test_detected(drill: Drill) -> None:
    drill.detected()
    drill.server.heal(drill.name)
    if drill.deployment.dgctl("doctor").exit_code:  # a person's way back leaves a hold, or an API that blames itself
        assert drill.deployment.dgctl("provision", "--yes", "--full").exit_code == 0
    healthy(drill)
    drill.repaired = True


@with_all
@on(REPAIRED)
def test_drill(drill: Drill, tmp_path) -> None:
    found = drill.detected()
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
    healthy(drill)
    drill.repaired = True


def test_every_fault_has_a_drill() -> None:
    assert set(FIXES) == set(FAULTS)
    assert {row["check"] for row in FAULTS.values()} <= {
        check.name for check in content.utility("doctor.doctor").CHECKS
    }
    assert set(QUICK) <= set(FAULTS)
