"""Deployments of hosts that are this machine, so that the suite's machinery runs without a server."""

from pathlib import Path

import pytest

from dgctl.deployment.deployment import Deployment, Host
from dgctl.verify import speech
from tests.standins.bench import Bench


class Heard:
    """A Progress that remembers what it was told."""

    def __init__(self):
        self.phases, self.hosts = [], []

    def phase(self, name):
        self.phases.append(name)

    def host(self, name, state, note=""):
        self.hosts.append((name, state, note))


@pytest.fixture(scope="module")
def recording():
    return speech.Recording.shipped()


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("bench"))
    made.license_server.wait_for("SIMULATED")
    yield made
    made.stop()


@pytest.fixture
def progress():
    return Heard()


@pytest.fixture
def deployment():
    """deployment(name={variables}, ...): hosts in group `node`, reached without SSH unless they say so."""

    def make(**hosts):
        made = {
            name: Host(name, "127.0.0.1", ["all", "node"], {"ansible_connection": "local"} | variables)
            for name, variables in hosts.items()
        }
        return Deployment(Path("inventory.ini"), made, list(made))

    return make
