"""The simulated servers of one lab: create, list, kill, start, remove."""

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lab import hardware, kernels, keys, topology
from lab.containers import create, network, put, wait_until_running
from lab.containers.engine import containers, docker
from lab.containers.image import SYSTEM, Image, build
from lab.hardware import gpus
from lab.home import Home
from lab.machine import KERNEL, OLD_PYTHON, OLD_PYTHON_SUITE, debian_sources
from lab.shell import LabError, say
from lab.systems import SYSTEMS, USUAL, System

HERE = Path(__file__).with_name("server")
# What the roles take from Debian 13 for a server with Docker.
DOCKER = ["docker.io", "docker-cli", "docker-compose", "nftables"]


@dataclass(frozen=True)
class Server:
    """A server as `bin/lab list` shows it; `name` is also the container's and the inventory's."""

    name: str
    address: str
    lab: str
    group: str
    gpus: list[str]
    state: str
    image: str
    system: str = USUAL


def image(home: Home, system: System, with_docker: bool = False) -> Image:
    """The "company's golden image": systemd, SSH, the user `ops`, the lab's CA among the trusted ones.

    `with_docker`: Docker and nftables too, so that a story about something else need not install them.
    """
    old = has_old_python(system)
    python = [f"python{OLD_PYTHON}"] if old else []
    return Image(
        name=f"dgctl-lab/server{'' if system.name == USUAL else '-' + system.name}{'-docker' * with_docker}{home.suffix}",
        packages=[*SYSTEM, "pciutils", "cron", *python, *system.packages, *(DOCKER if with_docker else [])],
        overlay=HERE / "overlay",
        files={
            "home/ops/.ssh/authorized_keys": (keys.client_key(home).with_suffix(".pub").read_bytes(), 0o600),
            "usr/local/share/ca-certificates/dgctl-lab.crt": (keys.authority(home).read_bytes(), 0o644),
            "etc/sudoers.d/ops": (b"ops ALL=(ALL) NOPASSWD: ALL\n", 0o440),
            **kernels.files(),
            **system.files(),
        },
        setup=f"KERNEL={KERNEL}\n" + (HERE / "setup.sh").read_text() + _older(old) + system.setup,
        suite=system.suite,
        lists=system.name == USUAL,
        also=OLD_PYTHON_SUITE if old else "",
    )


def has_old_python(system: System) -> bool:
    """Whether its servers get the older Python: a machine that is not Debian names no mirror to take it from."""
    return system.old_python and bool(debian_sources())


def _older(old: bool) -> str:
    """The script that makes the older Python the one of everyone but Debian's own programs."""
    names = f"OLD_PYTHON={OLD_PYTHON} OLD_PYTHON_SUITE={OLD_PYTHON_SUITE}\n"
    return names + (HERE / "python.sh").read_text() if old else ""


def listed(home: Home, lab: str | None = None) -> list[Server]:
    """Servers of one lab, or of all labs of this home, sorted by name."""
    found = []
    for item in containers(f"dgctl.home={home.path}"):
        labels = item["Config"]["Labels"]
        if "dgctl.lab" not in labels or lab not in (None, labels["dgctl.lab"]):
            continue
        address = item["NetworkSettings"]["Networks"][home.network]["IPAMConfig"]["IPv4Address"]
        models = [model for model in labels["dgctl.gpus"].split(",") if model]
        state, group = item["State"]["Status"], labels.get("dgctl.group", "node")
        mine = labels["dgctl.lab"], group, models, state, labels["dgctl.image"], labels.get("dgctl.system", USUAL)
        found.append(Server(item["Name"][1:], address, *mine))
    order = [group.name for group in topology.GROUPS]
    return sorted(found, key=lambda server: (server.lab, order.index(server.group), len(server.name), server.name))


def counted(home: Home, lab: str) -> topology.Counts:
    """How many servers of each group a lab has."""
    return Counter(server.group for server in listed(home, lab))


def missing(home: Home, lab: str, desired: topology.Counts) -> dict[str, topology.Group]:
    """Names of those of the wanted servers that do not exist, with their groups."""
    existing = {server.name for server in listed(home, lab)}
    named = topology.names(lab, home.suffix, desired)
    return {name: group for name, group in named.items() if name not in existing}


def ensure(
    home: Home, lab: str, desired: topology.Counts, has: gpus.Hardware, system: System, with_docker: bool = False
) -> list[Server]:
    """Makes the wanted servers that are missing; existing ones are started when stopped, else left alone."""
    existing = {server.name: server for server in listed(home, lab)}
    absent = missing(home, lab, desired)
    started = [name for name, server in existing.items() if server.state != "running"]
    # One after the other: servers that boot at once keep each other, and those that run, from answering in time.
    for name in started:
        docker("start", name)
        wait_until_running(name)
    for name, group in absent.items():
        tag = build(home, image(home, system, with_docker))
        _create(
            home,
            lab,
            name,
            tag,
            group.name,
            has if group.gpus else gpus.NONE._replace(secure_boot=has.secure_boot),
            system,
        )
        wait_until_running(name)
    if absent:
        say(f"Started {len(absent)} server(s): {', '.join(absent)}")
    _say_if_old(home, listed(home, lab))
    return listed(home, lab)


def _say_if_old(home: Home, present: list[Server]) -> None:
    """Servers made before the lab changed keep running as they are: a running deployment is nobody's to replace."""
    systems = {server.system for server in present}
    today = {image(home, SYSTEMS[name], with_docker).tag() for name in systems for with_docker in (False, True)}
    old = [server.name for server in present if server.image not in today]
    if old:
        say(f"Made by an older bin/lab, left as they are: {', '.join(old)}. `bin/lab down`, then `up`, renews them.")


def _create(home: Home, lab: str, name: str, tag: str, group: str, has: gpus.Hardware, system: System) -> None:
    """One server: PCI devices, SSH host key, address, volumes where its own containers keep their layers."""
    host_key = keys.ssh_key(home.directory("servers", name) / "ssh_host_ed25519_key", name)
    address = network.free_address(home, network.ensure(home))
    extra = [
        *hardware.install(home, name, has),
        f"--volume={home.path}/resolv.conf:/etc/resolv.conf:ro",
        "--volume=/var/lib/docker",
        "--volume=/var/lib/containers",
    ]
    labels = {"dgctl.lab": lab, "dgctl.group": group, "dgctl.gpus": ",".join(has.models), "dgctl.board": has.board}
    labels["dgctl.system"] = system.name
    create(home, name, tag, address, labels, extra)
    put(
        name,
        {
            "etc/ssh/ssh_host_ed25519_key": (host_key.read_bytes(), 0o600),
            "etc/ssh/ssh_host_ed25519_key.pub": (host_key.with_suffix(".pub").read_bytes(), 0o644),
            **kernels.source(home),
        },
    )
    docker("start", name)


def system_of(home: Home, lab: str, asked: str | None) -> System:
    """The system of a lab's servers; LabError where there are some with another one than asked for."""
    there = {server.system for server in listed(home, lab)}
    if asked and there - {asked}:
        raise LabError(
            f"The lab `{lab}` has servers with {', '.join(sorted(there))}, not {asked}.",
            f"Give the other system a lab of its own: bin/lab up --name {asked} --system {asked}",
        )
    return SYSTEMS[asked or next(iter(there), USUAL)]


def find(home: Home, name: str) -> Server:
    """The server of this name, of whatever lab; LabError names those there are."""
    present = listed(home)
    for server in present:
        if server.name == name:
            return server
    known = ", ".join(server.name for server in present)
    raise LabError(f"The lab has no server `{name}`.", f"Take one of: {known}" if known else "Start some: bin/lab up")


def kill(server: Server, cut: bool = False) -> None:
    """Ends every process of a server at once. The kernel closes their connections, so that others notice.

    `cut`: its network goes first, as with a power cut or a torn cable: nothing more is said to anyone.
    """
    if server.state != "running":
        return
    if cut:
        docker("exec", server.name, "ip", "link", "set", "eth0", "down")
    docker("kill", "--signal=KILL", server.name)


def start(server: Server) -> None:
    """Boots a server that is not running, with the disk and the address that it had."""
    if server.state != "running":
        docker("start", server.name)
        wait_until_running(server.name)


def remove(home: Home, server: Server) -> None:
    """Removes a server with its volumes and its directory."""
    docker("rm", "--force", "--volumes", server.name)
    shutil.rmtree(home.path / "servers" / server.name, ignore_errors=True)


def left(home: Home) -> bool:
    """Whether servers were made and not removed; needs no Docker: they outlive one that was killed, and a reboot."""
    return any((home.path / "servers").glob("*"))


def forget(home: Home) -> None:
    """Removes what is written down of servers whose containers are gone."""
    shutil.rmtree(home.path / "servers", ignore_errors=True)


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
