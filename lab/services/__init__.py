"""The services container: what a deployment talks to (names, packages, registry, models, licences)."""

from pathlib import Path

from lab import keys, network
from lab.containers import create, put, wait_until_running
from lab.engine import containers, docker, execute
from lab.home import Home
from lab.image import SYSTEM, Image, build
from lab.shell import say

HERE = Path(__file__).parent
NAMES = ["apt.lab.test", "models.lab.test", "registry.lab.test", "license.lab.test"]
PROGRAMS = "dnsmasq nginx-light docker-registry apache2-utils apt-utils skopeo gcc libc6-dev".split()


def image(home: Home) -> Image:
    return Image(
        name=f"dgctl-lab/services{home.suffix}",
        packages=[*SYSTEM, *PROGRAMS],
        overlay=HERE / "overlay",
        files={"usr/local/share/ca-certificates/dgctl-lab.crt": (keys.authority(home).read_bytes(), 0o644)},
        setup=(HERE / "setup.sh").read_text(),
    )


def ensure(home: Home) -> str:
    """Returns the services' address, with the container running and answering."""
    address = network.services_address(network.ensure(home))
    (home.path / "resolv.conf").write_text(f"nameserver {address}\n")
    found = [item for item in containers(f"dgctl.home={home.path}") if item["Name"] == f"/{home.services}"]
    tag = build(home, image(home))
    if found and found[0]["Config"]["Labels"]["dgctl.image"] != tag:
        docker("rm", "--force", "--volumes", home.services)
        found = []
    if found and found[0]["State"]["Running"]:
        return address
    if not found:
        _create(home, tag, address)
    docker("start", home.services)
    wait_until_running(home.services)
    say(f"Started the lab's services at {address}: {', '.join(NAMES)}")
    return address


def _create(home: Home, tag: str, address: str) -> None:
    extra = [f"--volume={home.directory('hosts')}:/etc/dnsmasq.hosts:ro"]
    create(home, home.services, tag, address, {"dgctl.services": "yes"}, extra)
    certificate = keys.certificate(home, "services", NAMES)
    put(
        home.services,
        {
            "etc/dnsmasq.d/address.conf": (f"address=/lab.test/{address}\n".encode(), 0o644),
            "etc/lab/tls.crt": (certificate.read_bytes(), 0o644),
            "etc/lab/tls.key": (certificate.with_suffix(".key").read_bytes(), 0o600),
        },
    )


def name_servers(home: Home, names: dict[str, str]) -> None:
    """Tells the name server which server (name -> address) lives where."""
    path = home.directory("hosts") / "servers"
    text = "".join(f"{address} {name} {name}.lab.test\n" for name, address in sorted(names.items()))
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
        execute(home.services, "systemctl kill --signal=HUP dnsmasq")


def remove(home: Home) -> None:
    docker("rm", "--force", "--volumes", home.services)
