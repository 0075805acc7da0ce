"""The signed repositories of Ubuntu-like and Debian 12 servers; built when a lab first asks for such a server."""

import hashlib
import os
import shutil
import tomllib
from pathlib import Path

from lab.engine import docker
from lab.home import CHECKOUT, Home
from lab.image import Image, build
from lab.machine import KERNEL
from lab.shell import say

HERE = Path(__file__).parent
TOOLS = ["apt-utils", "gcc", "libc6-dev", "gnupg", "python3", "ca-certificates"]
# Another name for what is there: Ubuntu 22.04's repository has the same packages here.
ALIASES = {"nvidia/ubuntu2204": "nvidia/ubuntu2404"}
SERVED = ["nvidia/debian12", "nvidia/ubuntu2404", "ubuntu", "docker/deb", *ALIASES]
MADE_OF = [HERE, HERE.parent / "nvidia", HERE.parent / "el/build.py"]


def carried() -> list[str]:
    """Debian packages whose files come in packages of Docker's repository."""
    packages = tomllib.loads((HERE / "packages.toml").read_text())["docker"]["packages"].values()
    return sorted({name for package in packages for name in package["debian"]})


def builder(home: Home) -> Image:
    """Where the packages are made: apt-ftparchive, a compiler, and Debian's packages to take files from."""
    fetch = f"mkdir -p /srv/debs\ncd /srv/debs\napt-get download {' '.join(carried())}\n"
    return Image(name=f"dgctl-lab/deb-tools{home.suffix}", packages=TOOLS, overlay=HERE / "builder", setup=fetch)


def ensure(home: Home, fingerprint: str) -> None:
    """Has the repositories of today's sources below what the services serve."""
    tag = build(home, builder(home))
    wanted = home.directory("apt") / f"debs-{_digest(fingerprint, tag)}"
    served = (home.path / "apt" / "current").resolve()
    if not wanted.exists():
        _build(home, tag, fingerprint, wanted, served)
    for name in SERVED:
        link, target = served / name, wanted / ALIASES.get(name, name)
        link.parent.mkdir(parents=True, exist_ok=True)
        relative = Path(os.path.relpath(target, link.parent))
        if not link.is_symlink() or link.readlink() != relative:
            link.unlink(missing_ok=True)
            link.symlink_to(relative)


def _digest(fingerprint: str, tag: str) -> str:
    total = hashlib.sha256(f"{fingerprint} {tag} {KERNEL}".encode())
    for path in sorted(path for place in MADE_OF for path in ([place] if place.is_file() else place.rglob("*"))):
        if path.is_file() and "__pycache__" not in path.parts:
            total.update(str(path.relative_to(HERE.parent)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


def _build(home: Home, tag: str, fingerprint: str, wanted: Path, served: Path) -> None:
    """Builds beside the target and renames, so that a killed build leaves nothing that looks finished."""
    say("Building the packages of Ubuntu-like and Debian 12 servers and their signed repositories ...")
    unfinished = wanted.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    gnupg = home.directory("keys", "gnupg", mode=0o700)
    options = [f"--volume={gnupg}:/gnupg", "--env=GNUPGHOME=/gnupg", "--network=none", "--workdir=/src"]
    options += [
        f"--volume={CHECKOUT / 'lab'}:/src/lab:ro",
        f"--volume={unfinished}:/out",
        f"--volume={served}:/served:ro",
    ]
    script = f"python3 -B -m lab.debs.build /out /gnupg {fingerprint} /served"
    docker("run", "--rm", "-i", *options, tag, "sh", "-eu", stdin=script)
    unfinished.chmod(0o755)
    unfinished.rename(wanted)
