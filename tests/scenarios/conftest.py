"""One lab server for the whole session; the numbered files tell its story in order, from blank to repaired."""

import os
import subprocess
import time
from pathlib import Path

from tests.paths import PROJECT
from tests.scenarios import results
from tests.scenarios.one_server import one_server

lab, deployment, server = one_server("story", "one-server", scope="session")

OUTCOMES: results.Outcomes = {}


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        OUTCOMES[report.nodeid] = report.outcome


def pytest_sessionfinish():
    """Writes the page that `bin/test --all` asks for: a part of the tests is no whole run."""
    place = os.environ.get("DGCTL_TEST_PAGE")
    if place:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True)
        passed = list(OUTCOMES.values()).count("passed")
        head = f"Written by `bin/test --all` on {time.strftime('%Y-%m-%d')}, at commit {commit.stdout.strip()}, with"
        head += f" simulated servers (lab/): {passed} of {len(OUTCOMES)} tests passed."
        Path(place).write_text(results.page(OUTCOMES, head))
