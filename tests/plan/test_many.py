"""A thousand servers: each costs the controller what is its own, and nothing of what it has in common with others."""

from __future__ import annotations

import gc
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dgctl.base import json_text
from dgctl.content import roles
from dgctl.deployment.deployment import Deployment
from dgctl.plan import plan as plans
from dgctl.plan.desired import Desired
from dgctl.plan.look import Seen
from dgctl.plan.plan import Plan
from tests.unit.validating import read, set_variable

FEW, MANY = 20, 120
LONG = 200  # variables in each answer, which is 20 kB; what differs of them is in the plan


def answer() -> Seen:
    """A new answer, as from JSON: its plan has long reasons, and nothing in it is shared with another's."""
    applied = {"content": "another", "variables": {f"before_{n}": "x" * 60 for n in range(LONG)}}
    return Seen({"nginx_proxy": {"state": "changed", "applied": json.loads(json.dumps(applied))}})


def of(count: int) -> Deployment:
    few = read()
    hosts = {f"gpu{n}": replace(few.hosts["gpu1"], name=f"gpu{n}") for n in range(count)}
    return replace(few, hosts=hosts, targets=list(hosts), groups={"node": list(hosts)})


def kb(count: int) -> tuple[float, Plan]:
    """The most memory at a time that the plan of so many servers took to make, and the plan."""
    deployment = of(count)
    gc.collect()
    tracemalloc.start()
    plan = plans.make(deployment, {}, lambda name, seen: None)
    most = tracemalloc.get_traced_memory()[1] / 1000
    tracemalloc.stop()
    return most, plan


@pytest.fixture
def looks(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(requests: Any, tell: Any) -> None:
        for host, _ in requests:
            tell(host.name, answer())

    monkeypatch.setattr("dgctl.plan.plan.look", look)


def test_a_server_more_costs_little_memory(looks: None) -> None:
    kb(2)  # what is read once
    few, many = (
        min(kb(count)[0] for _ in range(3)) for count in (FEW, MANY)
    )  # what else lives here is collected at times
    plan = kb(MANY)[1]
    assert len(plan.changing) == MANY
    assert len(plan.hosts["gpu7"].steps[-1].reasons) > LONG
    assert (many - few) / (MANY - FEW) < 12  # kB: 5 in fact, 45 and more when answers or reasons are kept
    assert plan.desired["gpu7"]["docker"] is plan.desired["gpu8"]["docker"]


def test_the_document_is_written_as_it_is_made(looks: None) -> None:
    plan = kb(MANY)[1]
    tracemalloc.start()
    length = sum(map(len, json_text.pieces({"hosts": plan.hosts})))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert length > 2_000_000 and most < length / 5


def test_servers_share_equal_values(small: Path) -> None:
    set_variable("deepgram_verify_language: [a text that all have, {key: 'another {{ deepgram_release }}'}]")
    one, other = (host.vars["deepgram_verify_language"] for host in read().hosts.values())
    assert one[0] is other[0] and one[1]["key"] is other[1]["key"] == "another release-260812"


def test_what_a_role_reads_of_others_is_read_once_a_host(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each pair of hosts; and of a host only what its own roles read is rendered."""
    asked: list[str] = []
    monkeypatch.setattr(Desired, "_value", lambda self, host, name, value: asked.append(name) or value)
    counts = []
    for count in (FEW, 2 * FEW):
        deployment = of(count)
        desired = Desired(deployment)
        asked.clear()
        for host in deployment.hosts.values():
            desired.of(host)
        counts.append(len(asked))
    assert counts[0] > 100 and counts[1] < 2.2 * counts[0]
    assert "nginx_proxy_port" in asked and "monitoring_jobs" not in asked


def test_a_play_of_a_chosen_role_asks_for_the_choice_alone() -> None:
    class Once(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            assert name == "deepgram_container_engine"
            return super().__getitem__(name)

    [chosen] = [play for play in roles.plays() if "{{" in play.role]
    assert chosen.role_of(Once(deepgram_container_engine="podman", other=1)) == "podman"
