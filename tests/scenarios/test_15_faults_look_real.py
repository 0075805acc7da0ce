"""Every fault of the lab, seen with a person's own tools before it, while it is there and after it was healed.

Slow, and of interest when the lab changes: it runs with DGCTL_TEST_ALL, as `bin/test --all` sets it.
"""

from __future__ import annotations

import re

import pytest

from tests.scenarios.support.stories import EVERYTHING, FAULTS
from tests.scenarios.support.symptoms import SYMPTOMS

# The servers' GPUs, and which needs of faults they meet.
SERVERS = {"a100-40,t4": ("any", "none", "mig"), "hgx-b200": ("switch", "blackwell"), "v100": ("old",)}

pytestmark = pytest.mark.skipif(not EVERYTHING, reason="bin/test --all runs it")


def test_each_fault_has_a_look():
    assert set(SYMPTOMS) == set(FAULTS)


def look(server, name: str) -> bool:
    """Whether the server looks as it does with the fault."""
    script = f"{{ {SYMPTOMS[name].command}; }} 2>&1 || true"
    return re.search(SYMPTOMS[name].faulty, server.sh(script, check=False), re.MULTILINE) is not None


CASES = [(gpus, name) for gpus, needs in SERVERS.items() for name in FAULTS if FAULTS[name]["gpu"] in needs]


@pytest.mark.parametrize(("gpus", "name"), CASES, ids=[name for _, name in CASES])
def test_a_fault_looks_real_and_goes_away(rack, gpus, name):
    _, server = rack.server_with(gpus)
    assert not look(server, name)
    assert server.fault(name).strip()
    assert look(server, name)
    server.heal(name)
    assert not look(server, name)
    server.heal(name)  # a healed server stays as it is
    assert not look(server, name)
