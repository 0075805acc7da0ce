"""A Molecule scenario up to its end, without the last step: what it made is there for the tests that go on with it."""

from __future__ import annotations

import subprocess

from tests.scenarios.servers import PROJECT, Deployment, Server, lab_down, lab_servers


def converged(scenario: str) -> tuple[Deployment, list[Server]]:
    """Blank servers, check mode, converge, idempotence, verify; the scenario's name is the lab's."""
    lab_down(scenario)
    done = subprocess.run(
        ["molecule", "test", "--destroy=never", "-s", scenario],
        cwd=PROJECT, text=True, capture_output=True, timeout=1800, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return Deployment(PROJECT / ".cache/molecule" / scenario), lab_servers(scenario)
