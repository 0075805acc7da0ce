"""The faults: the table is complete, each can be made and healed, and each asks for what it needs before it begins."""

import json

import pytest

from lab import hardware
from lab.faults import FAULTS, inject
from lab.faults.registry import TABLE
from lab.faults.target import Target
from lab.hardware import gpus
from lab.home import Home
from lab.servers import Server
from lab.shell import LabError
from tests.paths import PROJECT

ROW = {"about", "check", "repair", "gpu", "setup", "engine"}
# The contract with doctor and verify: fault -> check.
CHECKS = {
    "library-mismatch": "driver versions",
    "module-missing-next-kernel": "module for next kernel",
    "nouveau-loaded": "nouveau",
    "module-key-rejected": "secure boot",
    "gpu-off-bus": "gpu answers",
    "gpu-missing": "gpu count",
    "fabricmanager-missing": "fabric manager",
    "fabricmanager-version": "fabric manager",
    "toolkit-versions": "toolkit versions",
    "cdi-stale": "cdi specifications",
    "cdi-version": "cdi version",
    "docker-runtime-lost": "docker runtime",
    "daemon-json-malformed": "daemon.json",
    "nvml-unknown-error": "gpu in containers",
    "engine-on-cpu": "engine on gpu",
    "libcuda-missing": "libcuda in containers",
    "package-upgraded": "package versions",
    "held-broken": "package state",
    "two-sources": "driver sources",
    "dpkg-locked": "package lock",
    "disk-full": "disk",
    "repository-signature": "repositories",
    "clock-off": "clock",
    "mig-enabled": "mig",
    "pre-turing-open": "module flavour",
    "blackwell-proprietary": "module flavour",
    "pcie-width": "pcie link",
    "retirement-pending": "gpu memory",
    "xid-79": "xid",
    "nginx-masked": "nginx",
    "nginx-not-reloaded": "nginx reloaded",
    "proxy-without-cap": "proxy cap",
    "certificate-of-five-days": "certificate",
    "engine-hangs": "engine answers",
    "limit-under-a-table": "engine limit",
    "model-truncated": "models",
    "key-file-open": "key files",
    "boot-unit-disabled": "units",
    "nginx-stopped": "nginx",
    "nginx-refuses-its-files": "callers",
    "second-default-server": "callers",
    "nginx-out-of-connections": "nginx room",
    "nginx-out-of-descriptors": "nginx room",
    "certificate-ended": "certificate",
    "certificate-of-another-name": "certificate name",
    "certificate-without-its-chain": "certificate chain",
    "certificate-of-another-key": "certificate key",
    "engine-of-another-image": "images",
    "release-expired": "containers",
    "engine-paused": "containers",
    "api-asks-another-engine": "files",
    "api-blames-itself": "api health",
    "api-on-its-default": "configuration",
    "api-stale-mount": "configuration",
    "licence-unreachable": "containers",
    "licence-refused": "containers",
    "mtu-black-hole": "mtu",
    "companion-missing": "models",
    "model-bit-flipped": "models loaded",
    "model-of-another-project": "models loaded",
    "inodes-out": "disk",
    "file-handles-out": "file handles",
    "conntrack-full": "conntrack",
    "gpu-device-closed": "gpu devices",
    "resolver-dead": "resolver",
    "resolver-slow": "resolver",
    "second-firewall": "firewalls",
    "ecc-errors": "ecc errors",
    "gpu-too-hot": "gpu slowdown",
    "hold-lifted": "holds",
}


class Shell:
    """In the place of a server: notes every script; what a script asks is answered with `answers` by a part of it."""

    def __init__(self):
        self.scripts, self.answers = [], {}

    def __call__(self, script, check=True):
        self.scripts.append(script)
        return next((answer for part, answer in self.answers.items() if part in script), "")

    @property
    def reported(self):
        return "\n".join(self.scripts)


@pytest.fixture
def target(tmp_path, monkeypatch):
    """A function that makes a server with such GPUs; its scripts go to `target.shell`."""
    home, shell = Home(tmp_path), Shell()
    monkeypatch.setattr(Target, "sh", lambda self, script, check=True: shell(script, check))

    def make(text, fault, state="running"):
        hardware.install(home, "lab-gpu1", gpus.parse(text))
        server = Server("lab-gpu1", "192.0.2.1", "lab", "node", gpus.parse(text).models, state, "image")
        return Target(home, server, fault)

    make.shell, make.home = shell, home
    return make


def test_the_table_is_the_contract():
    assert {name: row["check"] for name, row in TABLE.items()} == CHECKS


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_row_and_both_ways(name):
    fault = FAULTS[name]
    assert set(TABLE[name]) == ROW
    assert fault.repair in ("yes", "no", "allowed")
    assert fault.gpu in ("any", "mig", "switch", "old", "blackwell", "none")
    assert fault.setup in ("bare", "driver", "deployed")
    assert fault.engine in ("docker", "podman", "any")
    assert fault.inject.__module__.startswith("lab.faults") and fault.heal.__name__ != "_nothing"
    assert fault.inject.__name__ != "_nothing"


def test_an_unknown_fault_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(LabError) as refusal:
        inject(Home(tmp_path), None, "gremlins")
    assert "gpu-off-bus" in refusal.value.fix


@pytest.mark.parametrize(
    ("gpu", "fault"),
    [
        ("t4", "mig-enabled"),
        ("h100", "fabricmanager-missing"),
        ("t4", "pre-turing-open"),
        ("h100", "blackwell-proprietary"),
    ],
)
def test_a_fault_is_refused_on_hardware_that_cannot_have_it(target, gpu, fault):
    with pytest.raises(LabError, match="has no GPU for"):
        FAULTS[fault].inject(target(gpu, fault))
    assert not target.shell.scripts


def test_a_fault_is_refused_where_nothing_is_installed_or_runs(target):
    with pytest.raises(LabError, match="has no driver yet"):
        FAULTS["xid-79"].inject(target("t4", "xid-79"))
    target.shell.answers["nvidia-smi"] = "yes"
    with pytest.raises(LabError, match="has an Engine"):
        FAULTS["cdi-stale"].inject(target("t4", "cdi-stale"))
    with pytest.raises(LabError, match="is exited"):
        FAULTS["xid-79"].inject(target("t4", "xid-79", state="exited"))


def test_a_missing_gpu_comes_back_to_its_place(target, tmp_path):
    target.shell.answers["nvidia-smi"] = "yes"
    server, bus = target("t4:2", "gpu-missing"), tmp_path / "servers/lab-gpu1/pci"
    FAULTS["gpu-missing"].inject(server)
    assert [path.name for path in bus.iterdir()] == ["0000:3b:00.0"]
    assert "nvidia refresh" in target.shell.reported
    FAULTS["gpu-missing"].heal(server)
    assert sorted(path.name for path in bus.iterdir()) == ["0000:3b:00.0", "0000:43:00.0"]
    assert json.loads((bus / "0000:43:00.0/simulated.json").read_text())["name"] == "Tesla T4"


@pytest.mark.parametrize(("gpu", "key"), [("t4", "retired_pages.pending"), ("l4", "remapped_rows.pending")])
def test_memory_waits_for_what_the_gpu_has(target, gpu, key):
    target.shell.answers["/usr/bin/nvidia-smi"] = "yes"
    FAULTS["retirement-pending"].inject(target(gpu, "retirement-pending"))
    assert f"set 0000:3b:00.0 {key} '\"Yes\"'" in target.shell.reported
    assert "63, pid=" in target.shell.reported


def test_half_a_link_is_half_on_the_bus(target, tmp_path):
    target.shell.answers["nvidia-smi"] = "yes"
    server, device = target("t4", "pcie-width"), tmp_path / "servers/lab-gpu1/pci/0000:3b:00.0"
    FAULTS["pcie-width"].inject(server)
    assert (device / "current_link_width").read_text() == "8\n"
    FAULTS["pcie-width"].heal(server)
    assert (device / "current_link_width").read_text() == "16\n"


def test_secure_boot_is_switched_on_in_the_firmware(target, tmp_path):
    target.shell.answers["/usr/bin/nvidia-smi"] = "yes"
    FAULTS["module-key-rejected"].inject(target("t4", "module-key-rejected"))
    variable = tmp_path / "servers/lab-gpu1/hardware/efi/efivars" / hardware.SECURE_BOOT
    assert variable.read_bytes()[-1] == 1
    assert "modprobe -r nvidia" in target.shell.reported


@pytest.mark.parametrize(
    ("fault", "made", "healed"),
    [
        ("nginx-masked", "systemctl mask nginx", "systemctl unmask nginx; systemctl enable --now nginx"),
        ("nginx-not-reloaded", "touch /etc/nginx/conf.d/deepgram.conf", "systemctl reload nginx"),
        ("engine-hangs", "kill -STOP", "docker restart -t 5 deepgram-engine"),
        ("model-truncated", "truncate -s 10", "mv /root/models.whole/* /var/lib/deepgram/models/"),
        ("companion-missing", "entity-detector.*", "mv /root/models.whole/* /var/lib/deepgram/models/"),
        ("nginx-stopped", "systemctl stop nginx", "systemctl start nginx"),
        ("nginx-out-of-descriptors", "prlimit --pid", "systemctl reload nginx"),
        ("second-default-server", "default_server", "rm -f /etc/nginx/conf.d/other-team.conf"),
        ("engine-paused", "docker pause", "docker unpause"),
        ("api-on-its-default", "docker restart -t 1 deepgram-api", "curl -s http://127.0.0.1:8080/v1/status/engine"),
        ("licence-unreachable", "iptables -t filter -I FORWARD", "iptables -t filter -D FORWARD"),
        ("resolver-slow", "systemd-run", "systemctl stop lab-slow-resolver"),
        ("gpu-device-closed", "chmod 600 /dev/nvidia0", "chmod 666 /dev/nvidia0"),
        ("hold-lifted", "apt-mark unhold", "apt-mark hold"),
        ("key-file-open", "chmod 644 /etc/deepgram/deepgram.env", "chmod 600 /etc/deepgram/deepgram.env"),
        ("boot-unit-disabled", "systemctl disable deepgram.service", "systemctl enable deepgram.service"),
    ],
)
def test_a_fault_of_the_service_is_made_and_healed(target, monkeypatch, fault, made, healed):
    monkeypatch.setattr(Target, "require", lambda self, *needs: None)
    FAULTS[fault].inject(target("t4", fault))
    assert made in target.shell.reported and healed not in target.shell.reported
    FAULTS[fault].heal(target("t4", fault))
    assert healed in target.shell.reported


@pytest.mark.parametrize("fault", ["conntrack-full", "file-handles-out", "resolver-dead"])
def test_what_is_laid_over_a_path_goes_and_what_was_there_stays(target, monkeypatch, fault):
    monkeypatch.setattr(Target, "require", lambda self, *needs: None)
    FAULTS[fault].inject(target("t4", fault))
    made = len(target.shell.scripts)
    assert "mount --bind /run/simulated-" in target.shell.reported
    FAULTS[fault].heal(target("t4", fault))
    healed = "".join(target.shell.scripts[made:])
    assert '$4 ~ "/simulated-"' in healed and "mount --bind" not in healed


def test_no_product_code_knows_a_fault():
    for part in ("roles", "plugins", "dgctl", "playbooks"):
        for path in (PROJECT / part).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert "simulated-kernel" not in path.read_text(errors="replace"), path
