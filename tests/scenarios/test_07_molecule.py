"""The Molecule scenarios: check mode on blank servers, converge, idempotence, verify."""

import subprocess

import pytest

from tests.scenarios.support.servers import PROJECT
from tests.scenarios.support.stories import with_all


@pytest.mark.parametrize("scenario", ["default", *(pytest.param(name, marks=with_all) for name in ("podman", "fleet"))])
def test_scenario(scenario):
    done = subprocess.run(
        ["molecule", "test", "-s", scenario],
        cwd=PROJECT, text=True, capture_output=True, timeout=1800, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
