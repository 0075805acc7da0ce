"""The pytest plugin of the suite: one run of each check for each host, what a check may use, and who hears
the result.

suite.py starts pytest with this plugin and names the plan (hosts, routes, desired values) and the pipe for
results in the environment. Workers of pytest-xdist load it too; only their controller speaks into the pipe.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from dgctl.report import FAIL, PASS, SKIP
from dgctl.verify.connection import Connection, Route, Unreachable

PLAN, EVENTS, SECRETS = "DGCTL_VERIFY_PLAN", "DGCTL_VERIFY_EVENTS", "DGCTL_VERIFY_SECRETS"
LOOK_AT_LOG = "look into verify.log of this run's record"
_plan = pytest.StashKey[dict[str, Any]]()
_NODE = re.compile(r"test_(\w+)\.py::test_(\w+)\[@(.+?)@(?:-(.*))?\]$")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_plan] = json.loads(Path(os.environ[PLAN]).read_text())
    if not hasattr(config, "workerinput") and EVENTS in os.environ:
        config.pluginmanager.register(Reporter(int(os.environ[EVENTS])), "dgctl-reporter")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each check runs for each host of its groups; `host_name` is what every fixture of a host hangs on."""
    groups = {name for mark in metafunc.definition.iter_markers("groups") for name in mark.args}
    hosts = metafunc.config.stash[_plan]["hosts"]
    chosen = [name for name, host in hosts.items() if not groups or groups & set(host["groups"])]
    ids = [f"@{name}@" for name in chosen]
    metafunc.parametrize("host_name", chosen, ids=ids, scope="session", indirect=True)


def identify(nodeid: str) -> tuple[str, str]:
    """Host and check: test_driver.py::test_held[@gpu1@] -> gpu1, `driver.held`; a parameter comes last.

    test_reachable.py::test_reachable gives `reachable`.
    """
    match = _NODE.search(nodeid)
    if not match:
        return "", nodeid
    subject, name, host, parameter = match.groups()
    return host, ".".join(filter(None, ["" if subject == name else subject, name, parameter]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """All checks of a host go to one worker (xdist's own groups do nothing under pytest 9.2)."""
    from xdist.scheduler import LoadScopeScheduling

    class ByHost(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return identify(nodeid)[0]

    return ByHost(config, log)


@pytest.fixture(scope="session")
def host_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def planned(host_name: str, pytestconfig: pytest.Config) -> dict[str, Any]:
    """The host's part of the plan: address, groups, route, wanted."""
    return pytestconfig.stash[_plan]["hosts"][host_name]


@pytest.fixture(scope="session")
def wanted(planned: dict[str, Any]) -> dict[str, Any]:
    """Desired values: public variable name -> value, and what wanted.py adds."""
    return planned["wanted"]


@pytest.fixture(scope="session")
def connection(host_name: str, planned: dict[str, Any], pytestconfig: pytest.Config) -> Iterator[Connection]:
    secrets = json.loads(os.environ.get(SECRETS, "{}")).get(host_name, {})
    backend = Connection(host_name, Route(**planned["route"]), secrets, pytestconfig.stash[_plan]["askpass"])
    backend.set_host(Host(backend))
    yield backend
    print(f"{host_name}: {backend.commands} remote commands")


@pytest.fixture(scope="session")
def first_word(connection: Connection) -> dict[str, Any]:
    """Asks the host for its first sign of life: `{said, rc}`, or `{problem}` in the words of ssh or sudo."""
    try:
        done = connection.run("id -un; . /etc/os-release; echo $PRETTY_NAME")
    except Unreachable as problem:
        return {"problem": str(problem)}
    if done.rc:
        return {"problem": " ".join(done.stderr.split()) or f"exit {done.rc}"}
    return {"said": ", ".join(done.stdout.split("\n")).strip(", ")}


@pytest.fixture(scope="session")
def host(connection: Connection, first_word: dict[str, Any]) -> Host:
    """testinfra's host, every command as root; skips the check when the host cannot be asked."""
    if "problem" in first_word:
        pytest.skip("not asked: the host is not reachable")
    return connection._host


@pytest.fixture(autouse=True)
def expect(host_name: str, record_property: Callable[[str, object], None]) -> Expect:
    """`expect(seen, expected, fix)`: what the check is about."""
    return Expect(record_property)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A check that compares nothing cannot fail, so it does not pass."""
    yield
    if not item.funcargs["expect"].called:
        pytest.fail("the check compared nothing", pytrace=False)


class Expect:
    """Says what was seen and what was expected, whether or not they agree."""

    def __init__(self, record: Callable[[str, object], None]):
        self.record, self.called = record, False

    def __call__(self, seen: Any, expected: Any, fix: str, ok: bool | None = None) -> None:
        """Fails the check unless `ok`; not given, `ok` is seen == expected. `fix`: the command or file to
        look at.
        """
        self.called = True
        met = seen == expected if ok is None else ok
        for name, value in (("seen", text(seen)), ("expected", text(expected)), ("fix", "" if met else fix)):
            self.record(name, value)
        if not met:
            pytest.fail(f"seen: {text(seen)}; expected: {text(expected)}", pytrace=False)


def text(value: Any) -> str:
    """A value as a person reads it, on one line."""
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return ", ".join(text(item) for item in items) or "none"
    if value is None or value == "":
        return "none"
    return " ".join(str(value).split())


class Reporter:
    """Writes one JSON line for each check that begins or ends into the pipe that suite.py reads."""

    def __init__(self, descriptor: int):
        self.pipe = os.fdopen(descriptor, "w", buffering=1)
        self.done: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A failed phase of a check is its end; a passed one only when it is the call itself."""
        if report.nodeid in self.done or (report.passed and report.when != "call"):
            return
        if report.when == "teardown" and report.passed:
            return
        self.done.add(report.nodeid)
        self.pipe.write(json.dumps(finding(report)) + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        self.pipe.close()


def finding(report: pytest.TestReport) -> dict[str, str]:
    """A report as the fields of a Check."""
    said = {name: str(value) for name, value in report.user_properties}
    host, check = identify(report.nodeid)
    fields = {name: said.get(name, "") for name in ("seen", "expected", "fix")}
    if report.skipped:
        fields["seen"] = str(report.longrepr[2]).removeprefix("Skipped: ")
    elif report.failed and "seen" not in said:
        fields = {"seen": _cause(report), "expected": "an answer", "fix": LOOK_AT_LOG}
    verdict = {"passed": PASS, "failed": FAIL, "skipped": SKIP}[report.outcome]
    return fields | {"host": host, "check": check, "verdict": verdict}


def _cause(report: pytest.TestReport) -> str:
    """The last line of what pytest has to say: the exception, or the words of pytest.fail."""
    lines = [line for line in report.longreprtext.splitlines() if line.startswith("E ")]
    return text(
        (lines or report.longreprtext.strip().splitlines() or ["no cause given"])[-1].removeprefix("E ")
    )
