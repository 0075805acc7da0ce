"""One server at a time, kept while the next test asks for the same.

A parametrised fixture would not do: pytest ends it between two tests, also where both ask for the same.
"""

from __future__ import annotations

from tests.scenarios.support.servers import PROJECT, Deployment, Server, lab_down, lab_up


class Rack:
    """`lab`: the lab's name."""

    def __init__(self, lab: str) -> None:
        self.lab, self.asked, self.provisioned = lab, (), False

    def blank_server_with(
        self, gpus: str, engine: str = "docker", system: str = "debian13"
    ) -> tuple[Deployment, Server]:
        """A server with these GPUs, this container engine and this system; blank, unless a test has changed it."""
        asked = (f"--gpu={gpus}", f"--engine={engine}", f"--system={system}")
        if asked != self.asked:
            self.clear()
            folder = PROJECT / ".cache/scenarios" / self.lab
            deployment, servers = lab_up(self.lab, folder, *asked)
            self.asked, self.there = asked, (deployment, servers[0])
        return self.there

    def server_with(self, gpus: str, engine: str = "docker", system: str = "debian13") -> tuple[Deployment, Server]:
        """The same, provisioned and verified."""
        deployment, server = self.blank_server_with(gpus, engine, system)
        if not self.provisioned:
            run = deployment.dgctl("provision", "--yes")
            assert run.exit_code == 0, run.problems() + run.stderr
            self.provisioned = True
        return deployment, server

    def clear(self) -> None:
        self.asked, self.provisioned = (), False
        lab_down(self.lab)
