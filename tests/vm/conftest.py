"""Virtual machines with real kernels. Run by `bin/test --vm` alone: in emulation each boot takes minutes."""

import os

import pytest

from lab import home
from lab.vm import disk, states
from lab.vm.machine import Machine
from tests.vm.host import Host

ASKED = "DGCTL_TEST_VM"


def pytest_collection_modifyitems(items):
    """Without being asked for, these tests are skipped."""
    if not os.environ.get(ASKED):
        reason = pytest.mark.skip(reason="real kernels in a virtual machine take an hour: bin/test --vm runs them")
        for item in items:
            if "/tests/vm/" in str(item.path):
                item.add_marker(reason)


@pytest.fixture(scope="session")
def built():
    """(home, disk): the disk as it is built, made when absent."""
    place = home.find()
    return place, disk.ensure(place)


@pytest.fixture(scope="session")
def kernels(built):
    """(the older kernel, which is installed and counts as the running one; the newer one)."""
    return (built[1] / "kernels").read_text().split()


@pytest.fixture(scope="module")
def host(built, request, tmp_path_factory):
    """host(name, base, secure_boot): a machine that runs, and ends with the module of tests."""
    made = []

    def start(name, base=None, secure_boot=False):
        machine = Machine(*built, states.folder(built[0], name), secure_boot).create(base)
        made.append(machine)
        machine.start()
        machine.await_boot()
        return Host(machine, tmp_path_factory.mktemp(name))

    yield start
    for machine in made:
        machine.kill()
