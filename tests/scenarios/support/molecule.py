"""Runs a Molecule scenario as CI does."""

from __future__ import annotations

import subprocess

from tests.scenarios.support.servers import PROJECT


def scenario(name: str, *options: str) -> None:
    """`molecule test -s NAME OPTIONS`; what it said where it fails."""
    done = subprocess.run(
        ["molecule", "test", "-s", name, *options],
        cwd=PROJECT, text=True, capture_output=True, timeout=1800, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
