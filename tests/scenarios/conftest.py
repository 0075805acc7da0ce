"""What all stories share: which test belongs to which, the servers that several use, and what is told at the end."""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import PROJECT
from tests.scenarios.support import molecule, results, stories
from tests.scenarios.support.fleet import BEFORE, SETTINGS, Fleet, set_release
from tests.scenarios.support.one_server import one_server
from tests.scenarios.support.rack import Rack
from tests.scenarios.support.servers import Deployment, Server, lab_down, lab_servers, lab_up

# As the image of a cloud comes: apt knows no package yet.
lab, deployment, server = one_server("story", "one-server", scope="session", without="/var/lib/apt/lists/*")

OUTCOMES: results.Outcomes = {}
SECONDS: Counter[str] = Counter()
BEGAN = time.monotonic()


@pytest.fixture(scope="session")
def rack() -> Iterator[Rack]:
    """Each process that runs tests has its own, so that two may be at work."""
    found = Rack("rack" + os.environ.get("PYTEST_XDIST_WORKER", ""))
    yield found
    found.clear()


@pytest.fixture(scope="session")
def workshop() -> Iterator[tuple[Deployment, Server]]:
    """A server with an A100 and a T4: the one that Molecule's scenario `default` has just provisioned and verified."""
    lab_down("default")
    molecule.scenario("default", "--destroy=never")
    (one,) = lab_servers("default")
    yield Deployment(PROJECT / ".cache/molecule/default"), one
    lab_down("default")


@pytest.fixture(scope="session")
def fleet(tmp_path_factory) -> Iterator[Fleet]:
    """Two nodes behind two proxies, blank."""
    lab_down("fleet")
    deployment, _ = lab_up("fleet", PROJECT / ".cache/scenarios/fleet", "--nodes=2", "--proxies=2", "--with-docker")
    set_release(deployment, BEFORE)
    made = Fleet("fleet", deployment, tmp_path_factory.mktemp("load"))
    made.change(**SETTINGS)
    yield made
    lab_down("fleet")


def pytest_xdist_make_scheduler(config, log):
    return stories.Stories(config, log)


def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: stories.rank(stories.of(item.nodeid)))
    if only := os.environ.get("DGCTL_TEST_ONLY", "").split():
        known = {stories.of(item.nodeid) for item in items}
        if unknown := sorted(set(only) - known):
            raise pytest.UsageError(f"no story {', '.join(unknown)}: there are {', '.join(sorted(known))}")
        left = [item for item in items if stories.of(item.nodeid) not in only]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if stories.of(item.nodeid) in only]


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        OUTCOMES[report.nodeid] = report.outcome
    SECONDS[stories.of(report.nodeid)] += report.duration


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("seconds by story")
    for story, seconds in SECONDS.most_common():
        terminalreporter.write_line(f"{seconds:7.0f}  {story}")
    terminalreporter.write_line(f"{time.monotonic() - BEGAN:7.0f}  all, side by side")


def pytest_sessionfinish(session):
    """Writes the page that `bin/test --all` asks for."""
    place = os.environ.get("DGCTL_TEST_PAGE")
    if not place or hasattr(session.config, "workerinput"):
        return
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True)
    new = results.reported(OUTCOMES, SECONDS, commit.stdout.strip(), time.strftime("%Y-%m-%d"), stories.of)
    Path(place).write_text(results.page(results.retained(PROJECT / ".cache/applied", new)))
