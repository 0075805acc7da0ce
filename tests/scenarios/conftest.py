"""One lab server for the whole session; the numbered files tell its story in order, from blank to repaired."""

import pytest

from tests.scenarios.servers import PROJECT, Deployment, Server, lab_down, lab_up


@pytest.fixture(scope="session")
def lab() -> tuple[Deployment, Server]:
    folder = PROJECT / ".cache/scenarios/one-server"
    lab_down("story")
    deployment, servers = lab_up("story", folder)
    yield deployment, servers[0]
    lab_down("story")


@pytest.fixture(scope="session")
def deployment(lab) -> Deployment:
    return lab[0]


@pytest.fixture(scope="session")
def server(lab) -> Server:
    return lab[1]
