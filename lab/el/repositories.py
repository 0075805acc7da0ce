"""The EL-like servers' signed RPM repositories, beside the APT ones; built when a lab first asks for such a server."""

import tomllib
from pathlib import Path

from lab.containers import built, image
from lab.home import Home
from lab.shell import say

HERE = Path(__file__).parent
TOOLS = ["rpm", "createrepo-c", "gcc", "libc6-dev", "gnupg", "python3", "ca-certificates"]
MADE_OF = [HERE, HERE.parent / "nvidia"]


def table() -> dict:
    return tomllib.loads((HERE / "packages.toml").read_text())


def carried() -> list[str]:
    """Debian packages whose files come to an EL-like server in its own packages."""
    packages = (package for repository in table().values() for package in repository["packages"].values())
    return sorted({name for package in packages for name in package.get("debian", [])})


def ensure(home: Home, fingerprint: str) -> None:
    """Has the repositories of today's sources below what the services serve."""
    tag = image.build(home, built.tools(home, "rpm-tools", TOOLS, HERE / "builder", carried()))
    desired = home.directory("apt") / f"rpm-{built.digest(MADE_OF, fingerprint, tag)}"
    if not desired.exists():
        say("Building the EL-like server's packages and their signed repositories ...")
        built.build(home, tag, desired, f"lab.el.build /out /gnupg {fingerprint}")
    served = (home.path / "apt" / "current").resolve()
    for repository in table().values():
        for path in (repository["path"], repository["key"]):
            if path and (desired / path).exists():
                built.link(served / path, desired / path)
