"""The systems that a lab's servers can have: what their images are made of beside what every server has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab.debs import repositories as debs
from lab.el import repositories as el
from lab.home import Home
from lab.machine import SUITE

HERE = Path(__file__).parent


@dataclass(frozen=True)
class System:
    """`packages`: Debian's, beside those of every server. `overlay`, `setup`: laid over and run after the servers' own.

    `repositories`: makes what the services serve for it, signed by the key with this fingerprint. `settings`: of the deployment.
    `suite`: Debian's release under it. `old_python`: what Ansible and dgctl run there is run by Python 3.9.
    """

    name: str
    about: str
    packages: list[str] = field(default_factory=list)
    overlay: Path | None = None
    setup: str = ""
    repositories: Callable[[Home, str], None] | None = None
    settings: str = ""
    suite: str = SUITE
    old_python: bool = False

    def files(self) -> dict[str, tuple[bytes, int]]:
        """What its overlay has, by path."""
        paths = sorted(path for path in self.overlay.rglob("*") if path.is_file()) if self.overlay else []
        return {str(path.relative_to(self.overlay)): (path.read_bytes(), 0o644) for path in paths}


USUAL = "debian13"
# Stand-in packages in the place of the vendors' own repositories, as a user with a mirror would say it.
TOOLKIT = """\
nvidia_container_toolkit_repository_url: https://apt.lab.test/libnvidia-container/stable/deb/$(ARCH)
nvidia_container_toolkit_repository_key_url: https://apt.lab.test/libnvidia-container/gpgkey
nvidia_container_toolkit_repository_key_fingerprint: {fingerprint}
"""
DOCKER = """\
docker_repository_url: https://apt.lab.test/docker/deb
docker_repository_suite: /
docker_repository_key_url: https://apt.lab.test/docker/deb/gpg
docker_repository_key_fingerprint: {fingerprint}
"""


def driver(system: str, key: str) -> str:
    """NVIDIA's repository for a system of Debian's family."""
    place = f"https://apt.lab.test/nvidia/{system}/x86_64"
    return (
        f"nvidia_driver_repository_url: {place}\nnvidia_driver_repository_key_url: {place}/{key}.pub\n"
        "nvidia_driver_repository_key_fingerprint: {fingerprint}\n"
    )


EL9 = """\
nvidia_driver_repository_url: https://apt.lab.test/nvidia/rhel9/x86_64
nvidia_driver_repository_key_url: https://apt.lab.test/nvidia/rhel9/x86_64/D42D0685.pub
nvidia_driver_repository_key_fingerprint: {fingerprint}
nvidia_driver_epel_url: https://apt.lab.test/epel/9/Everything/x86_64
nvidia_driver_epel_key_url: https://apt.lab.test/epel/RPM-GPG-KEY-EPEL-9
nvidia_driver_epel_key_fingerprint: {fingerprint}
nvidia_container_toolkit_repository_url: https://apt.lab.test/libnvidia-container/stable/rpm/$basearch
nvidia_container_toolkit_repository_key_url: https://apt.lab.test/libnvidia-container/gpgkey
nvidia_container_toolkit_repository_key_fingerprint: {fingerprint}
docker_repository_url: https://apt.lab.test/docker/linux/rhel/9/x86_64/stable
docker_repository_key_url: https://apt.lab.test/docker/linux/rhel/gpg
docker_repository_key_fingerprint: {fingerprint}
"""


def ubuntu(name: str, version: str, code: str, words: str, old_python: bool = False) -> System:
    """Debian 13 that calls itself Ubuntu, with Ubuntu's kernel packages and an archive that has Ubuntu's NVIDIA packages."""
    names = f"RELEASE={version}\nCODE={code}\nWORDS='{words}'\n"
    return System(
        name,
        f"like Ubuntu {version}: its names and its NVIDIA packages on Debian 13's programs",
        setup=names + (HERE / "debs" / "ubuntu.sh").read_text(),
        repositories=debs.ensure,
        settings=driver(name, "3bf863cc") + TOOLKIT + DOCKER,
        old_python=old_python,
    )


SYSTEMS = {
    system.name: system
    for system in (
        System(USUAL, "Debian 13", settings=driver("debian13", "8793F200") + TOOLKIT),
        System(
            "debian12",
            "Debian 12; Docker's repository has Debian 13's programs",
            repositories=debs.ensure,
            settings=driver("debian12", "3bf863cc") + TOOLKIT + DOCKER,
            suite="bookworm",
        ),
        ubuntu("ubuntu2404", "24.04", "noble", "Noble Numbat"),
        ubuntu("ubuntu2204", "22.04", "jammy", "Jammy Jellyfish", old_python=True),
        System(
            "el9",
            "like Rocky Linux 9: real dnf, rpm and versionlock on Debian's programs, the layout of EL's repositories",
            packages=["dnf", "rpm", "python3-dnf", *el.carried()],
            overlay=HERE / "el" / "overlay",
            setup=f"CARRIED='{' '.join(el.carried())}'\n" + (HERE / "el" / "setup.sh").read_text(),
            repositories=el.ensure,
            settings=EL9,
            old_python=True,
        ),
    )
}
