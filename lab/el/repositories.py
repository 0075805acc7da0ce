"""The EL-like servers' signed RPM repositories, beside the APT ones; built when a lab first asks for such a server."""

import hashlib
import os
import shutil
import tomllib
from pathlib import Path

from lab.engine import docker
from lab.home import CHECKOUT, Home
from lab.image import Image, build
from lab.shell import say

HERE = Path(__file__).parent
TOOLS = ["rpm", "createrepo-c", "gcc", "libc6-dev", "gnupg", "python3", "ca-certificates"]


def table() -> dict:
    return tomllib.loads((HERE / "packages.toml").read_text())


def carried() -> list[str]:
    """Debian packages whose files come to an EL-like server in its own packages."""
    packages = (package for repository in table().values() for package in repository["packages"].values())
    return sorted({name for package in packages for name in package.get("debian", [])})


def builder(home: Home) -> Image:
    """Where the packages are made: rpmbuild, createrepo_c, a compiler, and Debian's packages to take files from."""
    fetch = f"mkdir -p /srv/debs\ncd /srv/debs\napt-get download {' '.join(carried())}\n"
    return Image(name=f"dgctl-lab/rpm-tools{home.suffix}", packages=TOOLS, overlay=HERE / "builder", setup=fetch)


def ensure(home: Home, fingerprint: str) -> None:
    """Has the repositories of today's sources below what the services serve."""
    tag = build(home, builder(home))
    wanted = home.directory("apt") / f"rpm-{_digest(fingerprint, tag)}"
    if not wanted.exists():
        _build(home, tag, fingerprint, wanted)
    served = home.path / "apt" / "current"
    for repository in table().values():
        for path in (repository["path"], repository["key"]):
            if path and (wanted / path).exists():
                _link(served.resolve() / path, wanted / path)


def _link(link: Path, target: Path) -> None:
    """A relative link, as the services see the folder under another name."""
    link.parent.mkdir(parents=True, exist_ok=True)
    relative = Path(os.path.relpath(target, link.parent))
    if link.is_symlink() and link.readlink() != relative:
        link.unlink()
    if not link.is_symlink():
        link.symlink_to(relative)


def _digest(fingerprint: str, tag: str) -> str:
    total = hashlib.sha256(f"{fingerprint} {tag}".encode())
    for path in sorted([*HERE.rglob("*"), *(HERE.parent / "nvidia").rglob("*")]):
        if path.is_file() and "__pycache__" not in path.parts:
            total.update(str(path.relative_to(HERE.parent)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


def _build(home: Home, tag: str, fingerprint: str, wanted: Path) -> None:
    """Builds beside the target and renames, so that a killed build leaves nothing that looks finished."""
    say("Building the EL-like server's packages and their signed repositories ...")
    unfinished = wanted.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    gnupg = home.directory("keys", "gnupg", mode=0o700)
    options = [f"--volume={gnupg}:/gnupg", "--env=GNUPGHOME=/gnupg", "--network=none", "--workdir=/src"]
    options += [f"--volume={CHECKOUT / 'lab'}:/src/lab:ro", f"--volume={unfinished}:/out"]
    script = f"python3 -B -m lab.el.build /out /gnupg {fingerprint}"
    docker("run", "--rm", "-i", *options, tag, "sh", "-eu", stdin=script)
    unfinished.chmod(0o755)
    unfinished.rename(wanted)
