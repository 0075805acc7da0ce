"""The pytest plugin of the suite: one run of each check for each host, what a check may use, and who hears
the result.

suite.py starts pytest with this plugin and names the plan (hosts, routes, desired values) and the pipe for
results in the environment. Workers of pytest-xdist load it too; only their controller speaks into the pipe.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from dgctl.base.ssh import Route
from dgctl.verify import health
from dgctl.verify.connection import Connection, Other, Unreachable
from dgctl.verify.expect import Expect, Unmet
from dgctl.verify.reporter import Reporter, identify

# The subjects that are asked of each Engine of a server, and of the API beside it; all others are the server's.
OF_ENGINES = ("containers", "config", "engine", "models", "api", "ports", "transcription")
PLAN, EVENTS, SECRETS = "DGCTL_VERIFY_PLAN", "DGCTL_VERIFY_EVENTS", "DGCTL_VERIFY_SECRETS"
_plan = pytest.StashKey[dict[str, Any]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_plan] = json.loads(Path(os.environ[PLAN]).read_text())
    if not hasattr(config, "workerinput") and EVENTS in os.environ:
        config.pluginmanager.register(Reporter(int(os.environ[EVENTS])), "dgctl-reporter")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each check runs for each host in its `groups` or its file's GROUPS (none: every host); all fixtures hang on `host_name`.

    Beside the inventory's groups there are `api`, `engine`, `tls` and more: see topology.py.
    """
    groups = set(getattr(metafunc.function, "groups", getattr(metafunc.module, "GROUPS", ())))
    hosts = metafunc.config.stash[_plan]["hosts"]
    subject = metafunc.module.__name__.rpartition(".")[2].removeprefix("test_")
    chosen = [
        name
        for name, host in hosts.items()
        if (not groups or groups & set(host["groups"])) and ("/" not in name or subject in OF_ENGINES)
    ]
    ids = [f"@{name}@" for name in chosen]
    metafunc.parametrize("host_name", chosen, ids=ids, scope="session", indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the checks that are about somebody. pytest keeps one skipped item of a check that no host has."""
    items[:] = [item for item in items if identify(item.nodeid)[0] and _runs_here(item)]


def _runs_here(item: pytest.Item) -> bool:
    """False for a check of one part (its parameter `part`), or of GPUs, on a host that does not run what it is about."""
    plan = item.config.stash[_plan]["hosts"]
    parameters = item.callspec.params
    parts = plan[parameters["host_name"]]["parts"]
    if "health_check" in parameters:
        return health.concerns(parameters["health_check"], "engine" in parts)
    return "part" not in parameters or parameters["part"] in parts


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
    """The host's part of the plan: address, groups, parts, route, wanted."""
    return pytestconfig.stash[_plan]["hosts"][host_name]


@pytest.fixture(scope="session")
def desired(planned: dict[str, Any]) -> dict[str, Any]:
    """Desired values: public variable name -> value, and what wanted.py adds."""
    return planned["desired"]


@pytest.fixture(scope="session")
def connection(host_name: str, planned: dict[str, Any], pytestconfig: pytest.Config) -> Iterator[Connection]:
    backend = _connection(host_name, planned, pytestconfig)
    yield backend
    backend.close()
    print(f"{host_name}: {backend.commands} remote commands")


def _connection(name: str, planned: dict[str, Any], config: pytest.Config) -> Connection:
    secrets = json.loads(os.environ.get(SECRETS, "{}")).get(name, {})
    backend = Connection(name, Route(**planned["route"]), secrets, config.stash[_plan]["askpass"])
    backend.set_host(Host(backend))
    return backend


@pytest.fixture(scope="session")
def others(planned: dict[str, Any], pytestconfig: pytest.Config) -> Iterator[Callable[[str], Other]]:
    """others(name) -> another host of the deployment, over a connection that no other worker shares."""
    opened: dict[str, Connection] = {}

    def reach(name: str) -> Other:
        theirs = pytestconfig.stash[_plan]["others"][name]
        socket = f"{planned['socket']}.{theirs['number']}"
        own = {"route": Route(**theirs["route"]).over(socket).as_dict(), "tunnel": f"{socket}t"}
        opened[name] = opened.get(name) or _connection(name, theirs | own, pytestconfig)
        return Other(name, theirs | own, opened[name]._host)

    yield reach
    for backend in opened.values():
        backend.close()


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
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """What a check or a fixture of it expected in vain goes into the report, across processes."""
    report = yield
    if call.excinfo and isinstance(call.excinfo.value, Unmet):
        report.user_properties += call.excinfo.value.reported.items()
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A check that compares nothing cannot fail, so it does not pass."""
    yield
    if not item.funcargs["expect"].called:
        pytest.fail("the check compared nothing", pytrace=False)
