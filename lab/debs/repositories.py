"""The signed repositories of Ubuntu-like and Debian 12 servers; built when a lab first asks for such a server."""

import tomllib
from pathlib import Path

from lab.containers import built, image
from lab.home import Home
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


def ensure(home: Home, fingerprint: str) -> None:
    """Has the repositories of today's sources below what the services serve."""
    tag = image.build(home, built.tools(home, "deb-tools", TOOLS, HERE / "builder", carried()))
    desired = home.directory("apt") / f"debs-{built.digest(MADE_OF, fingerprint, tag, KERNEL)}"
    served = (home.path / "apt" / "current").resolve()
    if not desired.exists():
        say("Building the packages of Ubuntu-like and Debian 12 servers and their signed repositories ...")
        command = f"lab.debs.build /out /gnupg {fingerprint} /served"
        built.build(home, tag, desired, command, f"--volume={served}:/served:ro")
    for name in SERVED:
        built.link(served / name, desired / ALIASES.get(name, name))
