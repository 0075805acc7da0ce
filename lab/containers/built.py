"""Signed repositories of stand-in packages: built in an image of tools, kept under a digest of what they are made of."""

import hashlib
import os
import shutil
from pathlib import Path

from lab.containers.engine import docker
from lab.containers.image import Image
from lab.home import CHECKOUT, Home

LAB = CHECKOUT / "lab"


def tools(home: Home, name: str, packages: list[str], overlay: Path, carried: list[str]) -> Image:
    """Where packages are made: with these of Debian's installed, and those `carried` to take files from."""
    fetch = f"mkdir -p /srv/debs\ncd /srv/debs\napt-get download {' '.join(carried)}\n"
    return Image(name=f"dgctl-lab/{name}{home.suffix}", packages=packages, overlay=overlay, setup=fetch)


def digest(places: list[Path], *words: str) -> str:
    """Of files and folders of the lab, and of whatever else counts."""
    total = hashlib.sha256(" ".join(words).encode())
    for path in sorted(path for place in places for path in ([place] if place.is_file() else place.rglob("*"))):
        if path.is_file() and "__pycache__" not in path.parts:
            total.update(str(path.relative_to(LAB)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


def build(home: Home, tag: str, desired: Path, command: str, *options: str) -> None:
    """Builds beside the target and renames, so that a killed build leaves nothing that looks finished."""
    unfinished = desired.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    gnupg = home.directory("keys", "gnupg", mode=0o700)
    mounts = [f"--volume={LAB}:/src/lab:ro", f"--volume={unfinished}:/out", f"--volume={gnupg}:/gnupg"]
    settings = ["--env=GNUPGHOME=/gnupg", "--network=none", "--workdir=/src"]
    docker("run", "--rm", "-i", *mounts, *settings, *options, tag, "sh", "-eu", stdin=f"python3 -B -m {command}")
    unfinished.chmod(0o755)
    unfinished.rename(desired)


def link(place: Path, target: Path) -> None:
    """A relative link, as the services see the folder under another name."""
    place.parent.mkdir(parents=True, exist_ok=True)
    relative = Path(os.path.relpath(target, place.parent))
    if not place.is_symlink() or place.readlink() != relative:
        place.unlink(missing_ok=True)
        place.symlink_to(relative)
