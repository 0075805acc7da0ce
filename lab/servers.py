"""The simulated GPU servers of one lab: create, list, remove."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from lab import gpus, keys, network
from lab.containers import create, put, wait_until_running
from lab.engine import containers, docker
from lab.home import Home
from lab.image import SYSTEM, Image, build
from lab.machine import KERNEL
from lab.shell import say

HERE = Path(__file__).with_name("server")


@dataclass(frozen=True)
class Server:
    """A server as `bin/lab list` shows it; `name` is also the container's and the inventory's."""

    name: str
    address: str
    lab: str
    gpus: list[str]
    state: str
    image: str


def image(home: Home) -> Image:
    """The "company's golden image": systemd, SSH, the user `ops`, the lab's CA among the trusted ones."""
    return Image(
        name=f"dgctl-lab/server{home.suffix}",
        packages=[*SYSTEM, "pciutils", "cron"],
        overlay=HERE / "overlay",
        files={
            "home/ops/.ssh/authorized_keys": (keys.client_key(home).with_suffix(".pub").read_bytes(), 0o600),
            "usr/local/share/ca-certificates/dgctl-lab.crt": (keys.authority(home).read_bytes(), 0o644),
            "etc/sudoers.d/ops": (b"ops ALL=(ALL) NOPASSWD: ALL\n", 0o440),
        },
        setup=f"KERNEL={KERNEL}\n" + (HERE / "setup.sh").read_text(),
    )


def listed(home: Home, lab: str | None = None) -> list[Server]:
    """Servers of one lab, or of all labs of this home, sorted by name."""
    found = []
    for item in containers(f"dgctl.home={home.path}"):
        labels = item["Config"]["Labels"]
        if "dgctl.lab" not in labels or lab not in (None, labels["dgctl.lab"]):
            continue
        address = item["NetworkSettings"]["Networks"][home.network]["IPAMConfig"]["IPv4Address"]
        models = [model for model in labels["dgctl.gpus"].split(",") if model]
        state = item["State"]["Status"]
        found.append(Server(item["Name"][1:], address, labels["dgctl.lab"], models, state, labels["dgctl.image"]))
    return sorted(found, key=lambda server: (server.lab, len(server.name), server.name))


def missing(home: Home, lab: str, count: int) -> list[str]:
    """Names of those of the first `count` servers that do not exist."""
    existing = {server.name for server in listed(home, lab)}
    wanted = [f"{lab}-gpu{number}{home.suffix}" for number in range(1, count + 1)]
    return [name for name in wanted if name not in existing]


def ensure(home: Home, lab: str, count: int, models: list[str]) -> list[Server]:
    """Makes servers NAME-gpu1.. up to `count`; existing ones are started when stopped, else left alone."""
    existing = {server.name: server for server in listed(home, lab)}
    absent = missing(home, lab, count)
    started = [name for name, server in existing.items() if server.state != "running"]
    for name in started:
        docker("start", name)
    for name in absent:
        _create(home, lab, name, build(home, image(home)), models)
    for name in started + absent:
        wait_until_running(name)
    if absent:
        say(f"Started {len(absent)} server(s): {', '.join(absent)}")
    _say_if_old(home, listed(home, lab))
    return listed(home, lab)


def _say_if_old(home: Home, present: list[Server]) -> None:
    """Servers made before the lab changed keep running as they are: a running deployment is nobody's to replace."""
    today = image(home).tag()
    old = [server.name for server in present if server.image != today]
    if old:
        say(f"Made by an older bin/lab, left as they are: {', '.join(old)}. `bin/lab down`, then `up`, renews them.")


def _create(home: Home, lab: str, name: str, tag: str, models: list[str]) -> None:
    """One server: PCI devices, SSH host key, address, volumes where its own containers keep their layers."""
    pci = home.directory("servers", name, "pci")
    gpus.write_tree(pci, gpus.describe(name, models))
    host_key = keys.ssh_key(home.directory("servers", name) / "ssh_host_ed25519_key", name)
    address = network.free_address(home, network.ensure(home))
    extra = [
        f"--volume={pci}:/sys/bus/pci/devices",
        f"--volume={home.path}/resolv.conf:/etc/resolv.conf:ro",
        "--volume=/var/lib/docker",
        "--volume=/var/lib/containers",
    ]
    create(home, name, tag, address, {"dgctl.lab": lab, "dgctl.gpus": ",".join(models)}, extra)
    put(
        name,
        {
            "etc/ssh/ssh_host_ed25519_key": (host_key.read_bytes(), 0o600),
            "etc/ssh/ssh_host_ed25519_key.pub": (host_key.with_suffix(".pub").read_bytes(), 0o644),
        },
    )
    docker("start", name)


def remove(home: Home, server: Server) -> None:
    """Removes a server with its volumes and its directory."""
    docker("rm", "--force", "--volumes", server.name)
    shutil.rmtree(home.path / "servers" / server.name, ignore_errors=True)


def known_hosts(home: Home) -> Path:
    """Writes the known_hosts file of all servers, by address and by name."""
    lines = []
    for server in listed(home):
        public = (home.path / "servers" / server.name / "ssh_host_ed25519_key.pub").read_text().split()[:2]
        lines.append(f"{server.name},{server.address} {' '.join(public)}\n")
    path = home.path / "known_hosts"
    path.write_text("".join(lines))
    path.chmod(0o644)
    return path
