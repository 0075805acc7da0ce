"""One server at a time, provisioned, and kept while the next test asks for the same.

A parametrised fixture would not do: pytest ends it between two tests, also where both ask for the same.
"""

from __future__ import annotations

from typing import Any

import yaml

from tests.scenarios.servers import PROJECT, Deployment, Server, lab_down, lab_up


class Rack:
    """`lab`: the lab's name; `settings`: variables of the deployment beside the lab's own."""

    def __init__(self, lab: str, **settings: Any) -> None:
        self.lab, self.settings, self.asked = lab, settings, None

    def server_with(self, gpus: str, engine: str = "docker", system: str = "debian13") -> tuple[Deployment, Server]:
        """A server with these GPUs, this container engine and this system, provisioned and verified."""
        asked = (f"--gpu={gpus}", f"--engine={engine}", f"--system={system}")
        if asked != self.asked:
            self.clear()
            folder = PROJECT / ".cache/scenarios" / self.lab
            deployment, servers = lab_up(self.lab, folder, *asked)
            if self.settings:
                (deployment.folder / "group_vars/all/zz_settings.yml").write_text(yaml.safe_dump(self.settings))
            run = deployment.dgctl("provision", "--yes")
            assert run.exit_code == 0, run.problems() + run.stderr
            self.asked, self.there = asked, (deployment, servers[0])
        return self.there

    def clear(self) -> None:
        self.asked = None
        lab_down(self.lab)
