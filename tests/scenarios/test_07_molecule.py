"""The Molecule scenarios: check mode on a blank server, converge, idempotence, verify."""

import subprocess

import pytest

from tests.scenarios.servers import PROJECT


@pytest.mark.parametrize("scenario", ["default", "podman"])
def test_scenario(scenario):
    done = subprocess.run(
        ["molecule", "test", "-s", scenario],
        cwd=PROJECT, text=True, capture_output=True, timeout=1200, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
