"""Servers that keep their leases: the program that real ones are sent, on a folder each."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from dgctl.base.errors import Problem
from dgctl.deployment.deployment import Host
from dgctl.plan.look import Seen

LOCAL = "local"  # the folder of hosts that are this machine


class Servers:
    """In place of look.Asker: `silent` ones do not answer; `asked` has (server, mode) in their order."""

    def __init__(self, program: ModuleType, folder: Path):
        self.program, self.folder = program, folder
        self.silent: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self._one_at_a_time = threading.Lock()  # the program's folder is one for all of its process

    def __call__(self, hosts: list[Host], askpass: str, entry: str) -> Servers:
        assert entry == "look.lease" and Path(askpass).exists()
        return self

    def ask(self, host: Host, mode: str, **more: Any) -> tuple[str, Seen]:
        self.asked.append((host.name, mode))
        if host.name in self.silent:
            return host.name, Seen(problem=Problem("no way there", host.name))
        request = json.loads(json.dumps(more))
        with self._one_at_a_time:
            self.program.FOLDER = str(
                self.folder / (LOCAL if host.vars.get("ansible_connection") == "local" else host.name)
            )
            return host.name, Seen(lease=getattr(self.program, mode)(request))

    def retained(self, name: str) -> dict[str, Any]:
        """What a server has in its file; empty where there is none."""
        path = next(
            (path for path in (self.folder / each / "lease.json" for each in (name, LOCAL)) if path.exists()),
            self.folder,
        )
        return json.loads(path.read_text()) if path.is_file() else {}
