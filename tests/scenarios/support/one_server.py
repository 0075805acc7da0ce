"""The fixtures of a story of one lab server: `lab`, `deployment` and `server`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.scenarios.support.servers import PROJECT, Deployment, Server, lab_down, lab_up


def one_server(name: str, folder: str, *options: str, scope: Any = "module", without: str = "") -> tuple[Any, Any, Any]:
    """`lab`, `deployment`, `server`; what an earlier run left of the lab goes first. `without`: what the server loses."""

    @pytest.fixture(scope=scope)
    def lab() -> Iterator[tuple[Deployment, Server]]:
        lab_down(name)
        deployment, servers = lab_up(name, PROJECT / ".cache/scenarios" / folder, *options)
        if without:
            servers[0].sh(f"rm -rf {without}")
        yield deployment, servers[0]
        lab_down(name)

    @pytest.fixture(scope=scope)
    def deployment(lab: tuple[Deployment, Server]) -> Deployment:
        return lab[0]

    @pytest.fixture(scope=scope)
    def server(lab: tuple[Deployment, Server]) -> Server:
        return lab[1]

    return lab, deployment, server
