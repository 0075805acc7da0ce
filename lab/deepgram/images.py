"""Builds the stand-in images (API, Engine, License Proxy, Billing; two releases) and puts them into the lab's registry.

One Debian root file system is the first layer of all of them; a second layer of some kilobytes holds the program.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lab.containers.tarball import tar_of
from lab.machine import SUITE, debian_sources
from lab.packages import require
from lab.shell import LabError, say

from . import oci
from .certificates import internal_ca
from .registry import Registry

HERE = Path(__file__).resolve().parent
PACKAGES = ("python3-minimal", "python3-aiohttp", "ca-certificates", "curl")
LEAVE_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
LICENSE_SERVER = "https://license.lab.test"  # stands for license.deepgram.com wherever a program would default to it


@dataclass(frozen=True)
class Release:
    """What differs between releases; versions of 260812 are not published."""

    tag: str
    versions: dict
    driver_floor: str


RELEASES = (
    Release(
        "release-260714",
        {"stem": "1.192.5-1", "impeller": "3.119.1-3", "hermes": "1.10.2", "billing": "1.13.1"},
        driver_floor="570.172.08",
    ),
    Release(
        "release-260812",
        {"stem": "260812", "impeller": "260812", "hermes": "260812", "billing": "260812"},
        driver_floor="570.172.08",  # dgctl/content/releases.yml has the source
    ),
)
# image -> (program, its module, the ports it listens on)
IMAGES = {
    "self-hosted-api": ("stem", "api", (8080,)),
    "self-hosted-engine": ("impeller", "engine", (8080, 9991)),
    "self-hosted-license-proxy": ("hermes", "license_proxy", (8080, 8443)),
    "self-hosted-billing": ("billing", "billing", (8080, 8443)),  # what its program is called is not published
}
_START = """#!/usr/bin/python3
import sys

sys.path.insert(0, "/usr/lib/deepgram")
from programs.{module} import main

main()
"""


def build_and_push(registry: str, user: str, password: str, ca_file: Path, state: Path, address: str = "") -> None:
    """Leaves every image of every release in `registry` (HOST:PORT[/PATH]); what is there already is not sent again.

    `ca_file` is the lab's CA: the registry's certificate is checked against it, and the images trust it.
    `state` keeps the layers. `address` is where to reach the registry when this machine cannot resolve its name.
    """
    state.mkdir(parents=True, exist_ok=True)
    base = base_layer(state)
    target = Registry(registry, user, password, ca_file, address)
    for release in RELEASES:
        for name in IMAGES:
            image = build(name, release, base, ca_file, state)
            if target.push(name, release.tag, image):
                say(f"Pushed {registry}/{name}:{release.tag} ({image.digest[:19]})")


def build(name: str, release: Release, base: oci.Blob, ca_file: Path, state: Path) -> oci.Image:
    """One image from the base layer and its program; its new blobs are files in `state`."""
    program, module, ports = IMAGES[name]
    layer = oci.compress(
        [tar_of(_files(program, module, release, ca_file, state))], state / f"{name}-{release.tag}.tar.gz"
    )
    config = {
        "Entrypoint": [f"/bin/{program}"],
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONUNBUFFERED=1"],
        "ExposedPorts": {f"{port}/tcp": {} for port in ports},
        "Labels": {
            "org.opencontainers.image.title": f"SIMULATED {name}",
            "org.opencontainers.image.version": release.tag,
        },
    }
    return oci.image([base, layer], config, state)


def _files(program: str, module: str, release: Release, ca_file: Path, state: Path) -> dict[str, tuple[bytes, int]]:
    sources = (path for path in sorted((HERE / "programs").rglob("*")) if path.suffix in (".json", ".py", ".toml"))
    files = {f"usr/lib/deepgram/{path.relative_to(HERE)}": (path.read_bytes(), 0o644) for path in sources}
    internal = state / "internal"
    about = {
        "release": release.tag,
        "versions": release.versions,
        "driver_floor": release.driver_floor,
        "license_server": LICENSE_SERVER,
        "beginning_of_support": _made_on(internal),
    }
    shared = "usr/share/deepgram/"
    return files | {
        f"usr/bin/{program}": (_START.format(module=module).encode(), 0o755),
        shared + "release.json": (json.dumps(about, indent=1).encode(), 0o644),
        shared + "internal-ca.pem": ((internal / "internal-ca.pem").read_bytes(), 0o644),
        shared + "internal.pem": ((internal / "internal.pem").read_bytes(), 0o600),
        shared + "lab-ca.pem": (ca_file.read_bytes(), 0o644),
    }


def _made_on(internal: Path) -> str:
    """When this lab's images were first made: their support begins then, so that a lab never wakes up expired."""
    internal_ca(internal)
    noted = internal / "made-on"
    if not noted.exists():
        noted.write_text(datetime.now(UTC).isoformat(timespec="seconds"))
    return noted.read_text()


def base_layer(state: Path) -> oci.Blob:
    """The Debian root file system as a layer, made once for each list of packages and sources."""
    recipe = json.dumps([SUITE, PACKAGES, LEAVE_OUT, debian_sources()])
    path = state / f"base-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar.gz"
    if path.exists():
        return oci.known(path)
    require("mmdebstrap")
    say("Building the root file system of the stand-in images from Debian packages (half a minute, once) ...")
    return oci.compress(_bootstrap(state / "base.log"), path)


def _bootstrap(log: Path) -> Iterator[bytes]:
    """mmdebstrap's tar, in blocks; LabError when it fails."""
    options = [f"--dpkgopt=path-exclude={path}" for path in LEAVE_OUT]
    command = ["mmdebstrap", "--variant=minbase", "--include=" + ",".join(PACKAGES), *options, SUITE, "-"]
    with log.open("wb") as errors:
        making = subprocess.Popen(
            [*command, *debian_sources()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        )
        while block := making.stdout.read(oci.BLOCK):
            yield block
    if making.wait():
        tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-8:])
        raise LabError(f"mmdebstrap failed:\n  {tail}", f"Read {log}; check this machine's Debian mirror and network.")
