"""The systems that a lab's servers can have: what their images are made of beside what every server has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab.el import repositories as el
from lab.home import Home

HERE = Path(__file__).parent


@dataclass(frozen=True)
class System:
    """`packages`: Debian's, beside those of every server. `overlay`, `setup`: laid over and run after the servers' own.

    `repositories`: makes what the services serve for it, signed by the key with this fingerprint. `settings`: of the deployment.
    """

    name: str
    about: str
    packages: list[str] = field(default_factory=list)
    overlay: Path | None = None
    setup: str = ""
    repositories: Callable[[Home, str], None] | None = None
    settings: str = ""

    def files(self) -> dict[str, tuple[bytes, int]]:
        """What its overlay has, by path."""
        paths = sorted(path for path in self.overlay.rglob("*") if path.is_file()) if self.overlay else []
        return {str(path.relative_to(self.overlay)): (path.read_bytes(), 0o644) for path in paths}


USUAL = "debian13"
# Stand-in packages in the place of the vendors' own repositories, as a user with a mirror would say it.
DEBIAN = """\
nvidia_driver_repository_url: https://apt.lab.test/nvidia/debian13/x86_64
nvidia_driver_repository_key_url: https://apt.lab.test/nvidia/debian13/x86_64/8793F200.pub
nvidia_driver_repository_key_fingerprint: {fingerprint}
nvidia_container_toolkit_repository_url: https://apt.lab.test/libnvidia-container/stable/deb/$(ARCH)
nvidia_container_toolkit_repository_key_url: https://apt.lab.test/libnvidia-container/gpgkey
nvidia_container_toolkit_repository_key_fingerprint: {fingerprint}
"""
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
SYSTEMS = {
    system.name: system
    for system in (
        System(USUAL, "Debian 13", settings=DEBIAN),
        System(
            "el9",
            "like Rocky Linux 9: real dnf, rpm and versionlock on Debian's programs, the layout of EL's repositories",
            packages=["dnf", "rpm", "python3-dnf", *el.carried()],
            overlay=HERE / "el" / "overlay",
            setup=f"CARRIED='{' '.join(el.carried())}'\n" + (HERE / "el" / "setup.sh").read_text(),
            repositories=el.ensure,
            settings=EL9,
        ),
    )
}
