"""The services container: what a deployment talks to (names, packages, registry, models, licences)."""

import hashlib
from pathlib import Path

from lab import keys
from lab.containers import create, network, put, wait_until_running
from lab.containers.engine import containers, docker, execute
from lab.containers.image import SYSTEM, Image
from lab.deepgram import images
from lab.home import Home
from lab.machine import debian_sources
from lab.shell import say, succeeds

HERE = Path(__file__).parent
NAMES = ["apt.lab.test", "models.lab.test", "registry.lab.test", "license.lab.test"]
PROGRAMS = [
    "dnsmasq", "nginx-light", "docker-registry", "apache2-utils", "apt-utils", "gcc", "libc6-dev", "python3-aiohttp",
]  # fmt: skip
REGISTRY = "registry.lab.test:5000"
REGISTRY_USER = "deepgram+lab"


def image(home: Home) -> Image:
    return Image(
        name=f"dgctl-lab/services{home.suffix}",
        packages=[*SYSTEM, *PROGRAMS],
        overlay=HERE / "overlay",
        files={"usr/local/share/ca-certificates/dgctl-lab.crt": (keys.authority(home).read_bytes(), 0o644)},
        setup=(HERE / "setup.sh").read_text(),
    )


def ensure(home: Home, tag: str) -> str:
    """Returns the services' address, with the container running and every service answering."""
    address = network.services_address(network.ensure(home))
    resolver = f"nameserver {address}\n"
    (home.path / "resolv.conf").write_text(resolver)
    files = _files(home, address)
    made_of = hashlib.sha256(repr((tag, sorted(files.items()))).encode()).hexdigest()[:12]
    found = [item for item in containers(f"dgctl.home={home.path}") if item["Name"] == f"/{home.services}"]
    if found and found[0]["Config"]["Labels"].get("dgctl.services") != made_of:
        say("The lab's services have changed: restarting them.")
        docker("rm", "--force", "--volumes", home.services)
        found = []
    if found and found[0]["State"]["Running"]:
        return address
    if not found:
        create(home, home.services, tag, address, {"dgctl.services": made_of}, _volumes(home))
        put(home.services, files)
    docker("start", home.services)
    wait_until_running(home.services)
    say(f"Started the lab's services at {address}: {', '.join(NAMES)}")
    return address


def push_images(home: Home, address: str) -> None:
    """Puts the stand-in Deepgram images into the registry; quick when they are there."""
    made_of = _digest_of_images(home)
    record = home.path / "images" / "pushed"
    if record.exists() and record.read_text() == made_of:
        return
    images.build_and_push(
        f"{REGISTRY}/deepgram", REGISTRY_USER, keys.secret(home, "registry-password"), keys.authority(home),
        home.directory("images"), address,
    )  # fmt: skip
    record.write_text(made_of)


def _digest_of_images(home: Home) -> str:
    """Changes with the programs, with the root file system's sources and with the lab's CA."""
    total = hashlib.sha256(keys.authority(home).read_bytes() + repr(debian_sources()).encode())
    for path in sorted((HERE.parent / "deepgram").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            total.update(path.read_bytes())
    return total.hexdigest()


def _volumes(home: Home) -> list[str]:
    """What the services serve lies under the lab's home and outlives the container."""
    return [
        f"--volume={home.directory('hosts')}:/etc/dnsmasq.hosts:ro",
        f"--volume={home.directory('apt')}:/srv/apt:ro",
        f"--volume={home.directory('models')}:/srv/models:ro",
        f"--volume={home.directory('registry')}:/var/lib/docker-registry",
    ]


def _files(home: Home, address: str) -> dict[str, tuple[bytes, int]]:
    """Configuration that differs from one lab's home to another."""
    certificate = keys.certificate(home, "services", NAMES)
    password = keys.secret(home, "registry-password")
    return {
        "etc/dnsmasq.d/address.conf": (f"address=/lab.test/{address}\n".encode(), 0o644),
        "etc/lab/tls.crt": (certificate.read_bytes(), 0o644),
        "etc/lab/tls.key": (certificate.with_suffix(".key").read_bytes(), 0o600),
        "etc/lab/registry-password": (password.encode(), 0o600),
        "etc/lab/license-keys": (keys.secret(home, "deepgram-api-key", "lab-deepgram-key-").encode() + b"\n", 0o600),
        "usr/lib/lab/license_server.py": ((HERE.parent / "deepgram" / "license_server.py").read_bytes(), 0o755),
    }


def name_servers(home: Home, names: dict[str, str]) -> None:
    """Tells the name server which server (name -> address) lives where."""
    path = home.directory("hosts") / "servers"
    text = "".join(f"{address} {name} {name}.lab.test\n" for name, address in sorted(names.items()))
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
        # Services that are stopped read it when they start.
        if docker("ps", "--quiet", "--filter", f"name=^{home.services}$"):
            execute(home.services, "systemctl kill --signal=HUP dnsmasq")


def remove(home: Home) -> None:
    if succeeds("docker", "container", "inspect", home.services):
        docker("rm", "--force", "--volumes", home.services)
        say("Removed the lab's services.")
