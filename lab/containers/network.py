"""The lab's network: one bridge, static addresses, no port published on the machine."""

import ipaddress
import json
from pathlib import Path

from lab.containers.engine import containers, docker
from lab.home import Home
from lab.shell import LabError, succeeds

# The first that meets none of the machine's own routes is taken.
SUBNETS = [
    f"{start}.87.0/24" for start in ("172.30", "172.29", "172.28", "172.27", "10.213", "10.214", "10.215", "192.168")
]
FIRST_SERVER = 11


def ensure(home: Home) -> ipaddress.IPv4Network:
    """Makes the network when absent; returns its subnet."""
    if not succeeds("docker", "network", "inspect", home.network):
        _create(home)
    data = json.loads(docker("network", "inspect", home.network))
    return ipaddress.IPv4Network(data[0]["IPAM"]["Config"][0]["Subnet"])


def _create(home: Home) -> None:
    taken = _routes()
    for text in SUBNETS:
        subnet = ipaddress.IPv4Network(text)
        if any(subnet.overlaps(other) for other in taken):
            continue
        docker("network", "create", "--subnet", text, "--gateway", str(subnet[1]), home.network)
        return
    raise LabError(
        f"Every subnet the lab knows is in use on this machine: {', '.join(SUBNETS)}.",
        f"Make one by hand: docker network create --subnet A.B.C.0/24 {home.network}",
    )


def _routes() -> list[ipaddress.IPv4Network]:
    """The machine's routes, without the default one; read from /proc because `ip` may be absent."""
    found = []
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        _, destination, _, _, _, _, _, mask, *_ = line.split()
        address, netmask = (int.from_bytes(bytes.fromhex(x), "little") for x in (destination, mask))
        if netmask:
            found.append(ipaddress.IPv4Network((address, bin(netmask).count("1"))))
    return found


def services_address(subnet: ipaddress.IPv4Network) -> str:
    return str(subnet[2])


def free_address(home: Home, subnet: ipaddress.IPv4Network) -> str:
    """The lowest address that no container of this home, running or stopped, was given."""
    used = {
        (settings.get("IPAMConfig") or {}).get("IPv4Address")
        for item in containers(f"dgctl.home={home.path}")
        for settings in item["NetworkSettings"]["Networks"].values()
    }
    for number in range(FIRST_SERVER, subnet.num_addresses - 1):
        if str(subnet[number]) not in used:
            return str(subnet[number])
    raise LabError(f"No address is left in {subnet}.", "Stop a lab: bin/lab down --name NAME")


def remove(home: Home) -> None:
    if succeeds("docker", "network", "inspect", home.network):
        docker("network", "rm", home.network)
