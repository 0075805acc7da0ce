"""`remove` and `upgrade --blue-green` from end to end: who is drained, told, stopped, and what a failure leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.deployment.deployment import Deployment
from dgctl.output.report import Outcome
from dgctl.plan.plan import HostPlan, Plan
from dgctl.rollout import edited
from dgctl.run.session import Session
from dgctl.verbs import blue_green, remove, upgrade
from tests.plan.conftest import small  # noqa: F401 - fixtures
from tests.plan.test_rollout import change, seen
from tests.unit.called import called
from tests.unit.conftest import folder, root, write  # noqa: F401 - fixtures
from tests.unit.rollout.test_rolling import World
from tests.unit.validating import set_variable
from tests.unit.verbs.test_fleet_verbs import INVENTORY

PLAYBOOK = """\
- name: Deepgram
  hosts: node
  roles: [deepgram]
- name: TLS proxy
  hosts: proxy
  roles: [nginx_proxy]
"""
FILE = Path("fleet.ini")


@pytest.fixture
def fleet(small: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[World, Any]]:  # noqa: F811
    """fleet(verb, members, fails, **options): runs it on two nodes behind a proxy which reads of them."""
    write(small / "playbooks" / "provision.yml", PLAYBOOK)
    write(small / "roles" / "nginx_proxy" / "tasks" / "main.yml", "- thing: '{{ groups.node }}'\n")
    FILE.write_text(INVENTORY)
    set_variable("deepgram_min_serving: 1")
    for module in ("run.work", "rollout.edited"):
        monkeypatch.setattr(f"dgctl.{module}.require_valid", lambda deployment: None)

    def run(
        verb: Callable[[Session], Outcome],
        members: dict[str, Any],
        missing: str = "",
        fails: dict[str, list[str]] | None = None,
        **options: Any,
    ) -> tuple[World, Any]:
        def planned(work: Any) -> Plan:
            targets = work.deployment.targets
            hosts = {name: change(role="nginx_proxy" if name == "lb1" else "deepgram") for name in targets}
            hosts |= {
                name: HostPlan(problem=Problem("no way there", name, fix="x")) for name in targets if name == missing
            }
            known = {"fingerprint": "f"}
            desired = {name: {"nginx_proxy": known, "deepgram": known} for name in targets}
            return Plan(hosts, desired, members=members)

        world = World(monkeypatch, **(fails or {}))
        monkeypatch.setattr("dgctl.rollout.provisioning.planned", planned)
        monkeypatch.setattr("dgctl.rollout.provisioning.seen_by_proxies", lambda work: members)
        session = called(verb.__name__, FILE, **({"yes": True} | options))
        try:
            return world, verb(session)
        except DgctlError as error:
            return world, error

    return run


BOTH = seen("gpu1", "gpu2")
WITHOUT = INVENTORY.replace("gpu2 ansible_host=192.0.2.2\n", "").replace("gpu2\n", "")


def beside() -> list[str]:
    return [path.name for path in Path().glob(".dgctl-without-*")]


def test_a_removed_server_is_drained_told_of_stopped_and_forgotten(fleet: Any) -> None:
    world, outcome = fleet(remove.remove, BOTH, hosts=("gpu2", "gpu2"), wipe=True)
    words = [word for word in world.done if not word.startswith("preflight")]
    assert words == ["drain operator: gpu2", "change: lb1", "verify: lb1", "stop: gpu2", "undrain: gpu2"]
    assert outcome.exit_code == Exit.OK and FILE.read_text() == WITHOUT and beside() == []
    assert outcome.summary == "gpu2 removed; fleet.ini no longer names it"
    assert {name: host.state for name, host in outcome.hosts.items()} == {"gpu2": "changed", "lb1": "changed"}


def test_variables_of_a_removed_server_are_named_and_left(fleet: Any) -> None:
    write(Path("host_vars/gpu2.yml"), "x: 1\n")
    _, outcome = fleet(remove.remove, BOTH, hosts=("gpu2",))
    assert outcome.summary.endswith("; still there: host_vars/gpu2.yml")


def test_a_removed_billing_keeps_its_journal_and_says_so(fleet: Any) -> None:
    FILE.write_text(INVENTORY + "\n[billing]\nbl1 ansible_host=192.0.2.20\nbl2 ansible_host=192.0.2.21\n")
    _, outcome = fleet(remove.remove, BOTH, hosts=("bl2",), wipe=True)
    assert outcome.exit_code == Exit.OK, outcome.errors
    assert "its journal is still there: bl2:/var/lib/deepgram-billing/journal" in outcome.summary


def test_a_dead_server_is_not_waited_for_and_not_stopped(fleet: Any) -> None:
    world, outcome = fleet(remove.remove, seen("gpu1", gpu2="failed"), hosts=("gpu2",), dead=True)
    assert not any(word.startswith("stop") for word in world.done) and world.done[-1] == "undrain: gpu2"
    assert outcome.exit_code == Exit.OK and FILE.read_text() == WITHOUT


@pytest.mark.parametrize(
    ("fails", "last"),
    [
        ({"drain": ["gpu2"]}, "drain operator: gpu2"),
        ({"change": ["lb1"]}, "change: lb1"),
        ({"stop": ["gpu2"]}, "stop: gpu2"),
    ],
)
def test_a_step_that_fails_ends_it_and_the_inventory_stays(fleet: Any, fails: dict[str, list[str]], last: str) -> None:
    world, outcome = fleet(remove.remove, BOTH, fails=fails, hosts=("gpu2",))
    assert world.done[-1] == last and outcome.exit_code == Exit.HALTED
    assert FILE.read_text() == INVENTORY and beside() == []


@pytest.mark.parametrize(
    ("hosts", "members", "code", "what"),
    [
        (("gpu3",), BOTH, Exit.USAGE, "this server is not in the inventory"),
        (("gpu2", "gpu3"), BOTH, Exit.USAGE, "this server is not in the inventory"),
        (("gpu1", "gpu2"), BOTH, Exit.HALTED, "gpu1, gpu2 are the last of [node] that serve stt"),
        (
            ("gpu2",),
            seen("gpu2", gpu1="operator"),
            Exit.HALTED,
            "gpu2 cannot stop serving: too few of [node], profile stt would serve meanwhile",
        ),
    ],
)
def test_what_is_refused_touches_nothing(fleet: Any, hosts: Any, members: Any, code: Exit, what: str) -> None:
    world, error = fleet(remove.remove, members, hosts=hosts)
    assert (error.exit_code, error.problems[0].what) == (code, what) and error.problems[0].fix
    assert world.done == [] and FILE.read_text() == INVENTORY and beside() == []


REGIONS = """\
[api]
eu ansible_host=192.0.2.1 deepgram_region=eu
us ansible_host=192.0.2.2 deepgram_region=us
[engine]
gpu1 ansible_host=192.0.2.11 deepgram_region=eu
gpu2 ansible_host=192.0.2.12 deepgram_region=us
[proxy]
lb1 ansible_host=192.0.2.3
[all:vars]
deepgram_release=release-260812
"""
OF_APIS = """\
- name: Deepgram
  hosts: api:engine
  roles: [deepgram]
"""
ASKS = "- thing: '{{ deepgram_engine_addresses }}'\n"


@pytest.fixture
def apart(fleet: Any, small: Path) -> Any:  # noqa: F811
    """The fleet, of APIs and Engines apart, in two regions; role deepgram reads whom the API asks."""
    write(small / "playbooks" / "provision.yml", OF_APIS)
    write(small / "roles" / "deepgram" / "tasks" / "main.yml", ASKS)
    FILE.write_text(REGIONS)
    return fleet


def test_the_last_engine_of_a_region_stops_when_its_apis_ask_another_region(apart: Any) -> None:
    set_variable("deepgram_region_fallback: [eu, us]")
    world, outcome = apart(remove.remove, seen("eu", "us"), hosts=("gpu2",))
    assert outcome.exit_code == Exit.OK, outcome.errors
    words = [word for word in world.done if not word.startswith("preflight")]
    assert words == ["fetch: us", "drain rollout: us", "change: us", "verify: us", "undrain: us", "stop: gpu2"]


def test_the_last_engine_of_a_region_without_a_fallback_is_not_removed(apart: Any) -> None:
    world, error = apart(remove.remove, seen("eu", "us"), hosts=("gpu2",))
    (problem,) = error.problems
    assert (error.exit_code, problem.where, problem.value) == (Exit.HALTED, "fleet.ini", "us")
    assert problem.what.startswith("without gpu2 the API of us has no Engine to ask")
    assert "deepgram_region_fallback: [eu]" in problem.fix
    assert world.done == [] and FILE.read_text() == REGIONS and beside() == []


def test_a_server_that_stays_and_does_not_answer_ends_it_before_harm(fleet: Any) -> None:
    world, outcome = fleet(remove.remove, BOTH, missing="lb1", hosts=("gpu2",))
    assert outcome.exit_code == Exit.UNREACHABLE and world.done == [] and FILE.read_text() == INVENTORY


def test_a_removal_that_is_not_confirmed_touches_nothing(fleet: Any) -> None:
    world, error = fleet(remove.remove, BOTH, hosts=("gpu2",), yes=False)  # stdin is no terminal
    assert error.exit_code == Exit.USAGE and world.done == [] and FILE.read_text() == INVENTORY


def test_each_host_is_removed_once(fleet: Any) -> None:
    of = Deployment(FILE, {}, ["gpu1", "gpu2", "gpu3"])
    assert remove._named(of, ("gpu2", "gpu1", "gpu2")) == ["gpu2", "gpu1"]


GREEN = {"green": "green", "release": "release-260812"}


def released() -> list[str]:
    return [line.partition("=")[2] for line in FILE.read_text().splitlines() if line.startswith(edited.RELEASE)]


def test_green_is_built_without_requests_and_then_the_proxies_switch(fleet: Any) -> None:
    world, outcome = fleet(upgrade.upgrade, BOTH, **GREEN)
    assert world.done[:2] == ["drain operator: gpu2"] * 2 and world.done[-1] == "switch operator: gpu1"
    assert "change: gpu2" in world.done and "verify: gpu2" in world.done and "change: gpu1" not in world.done
    assert outcome.exit_code == Exit.OK and outcome.hosts["gpu2"].state == "changed"
    assert outcome.summary == "requests go to gpu2; gpu1 drained, and unchanged"
    assert released() == ["release-260714", "release-260812"]


def test_a_green_that_no_proxy_knows_yet_has_no_requests_to_wait_for(fleet: Any) -> None:
    world, outcome = fleet(upgrade.upgrade, seen("gpu1"), **GREEN)
    assert outcome.exit_code == Exit.OK and world.done.count("drain operator: gpu2") == 1


def test_a_green_that_cannot_be_drained_is_not_built(fleet: Any) -> None:
    world, outcome = fleet(upgrade.upgrade, BOTH, fails={"drain": ["gpu2"]}, **GREEN)
    assert world.done == ["drain operator: gpu2"] and outcome.exit_code == Exit.HALTED


def test_a_green_that_does_not_work_is_not_switched_to(fleet: Any) -> None:
    world, outcome = fleet(upgrade.upgrade, BOTH, fails={"verify": ["gpu2"]}, **GREEN)
    assert outcome.exit_code == Exit.HALTED and not any(word.startswith("switch") for word in world.done)


def test_a_proxy_that_did_not_switch_is_said(fleet: Any) -> None:
    _, outcome = fleet(upgrade.upgrade, BOTH, fails={"switch": ["lb1"]}, **GREEN)
    assert outcome.exit_code == Exit.HALTED and "not every proxy has switched" in outcome.summary
    assert outcome.next_command == "dgctl upgrade fleet.ini --release release-260812 --blue-green green"


@pytest.mark.parametrize("options", [GREEN, {"release": "release-260812"}])
def test_an_upgrade_that_is_not_confirmed_leaves_the_files(fleet: Any, options: dict[str, str]) -> None:
    world, error = fleet(upgrade.upgrade, BOTH, yes=False, **options)
    assert error.exit_code == Exit.USAGE and world.done == [] and FILE.read_text() == INVENTORY


@pytest.mark.parametrize("options", [GREEN, {"release": "release-260812"}])
def test_an_upgrade_of_what_does_not_answer_leaves_the_files(fleet: Any, options: dict[str, str]) -> None:
    world, error = fleet(upgrade.upgrade, BOTH, missing="gpu2", **options)
    assert error.exit_code == Exit.UNREACHABLE and world.done == [] and FILE.read_text() == INVENTORY


def test_the_sides_of_a_switch() -> None:
    assert blue_green.order(["gpu2"], []) == [
        "order:",
        "  1. built and verified, without requests: gpu2",
        "  2. the proxies switch: requests to gpu2, none to others",
    ]
