"""Which servers are changed when, from a plan and from what the proxies say."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgctl.deployment import fleet
from dgctl.deployment.deployment import Deployment, Host
from dgctl.deployment.fleet import Member
from dgctl.plan.plan import HostPlan, Plan, Step
from dgctl.plan.reasons import Kind, Reason
from dgctl.rollout import floor, plan_text, rollout
from dgctl.rollout.rollout import Policy


def deployment(least: int = 1, **groups: list[str]) -> Deployment:
    names = list(dict.fromkeys(name for hosts in groups.values() for name in hosts))
    hosts = {
        name: Host(
            name,
            name,
            [group for group, members in groups.items() if name in members],
            {"deepgram_profile": "flux" if "flux" in name else "stt", "deepgram_min_serving": least},
        )
        for name in names
    }
    return Deployment(Path("inventory.ini"), hosts, names, groups)


def change(kind: str = Kind.DRIFTED, role: str = "deepgram", calls: bool = True) -> HostPlan:
    return HostPlan([Step(role, "f", (Reason(kind),))], restarts=["deepgram-api"] if calls else [], fetches=calls)


def plan(hosts: dict[str, HostPlan], of: Deployment) -> Plan:
    return Plan({name: hosts.get(name, HostPlan(verified=True)) for name in of.targets}, {})


def seen(*names: str, **drained: str) -> dict[str, Member]:
    """What the proxy lb says: these serve, those are drained for a reason."""
    up = {name: Member(name, {"lb": "up"}) for name in names}
    return up | {name: Member(name, {"lb": "drained"}, reason) for name, reason in drained.items()}


FLEET = {"node": ["gpu1", "gpu2", "gpu3", "gpu4"], "proxy": ["lb"]}


def test_new_servers_are_built_before_the_proxies_and_serving_ones_left_alone() -> None:
    of = deployment(**FLEET)
    desired = {"gpu3": change(Kind.NEW), "gpu4": change(Kind.NEW), "lb": change(role="nginx_proxy", calls=False)}
    found = rollout.make(of, plan(desired, of), seen("gpu1", "gpu2"), Policy())
    assert (found.build, found.proxies, found.batches) == (["gpu3", "gpu4"], ["lb"], [])


def test_everything_new_is_one_run() -> None:
    of = deployment(**FLEET)
    desired = {name: change(Kind.NEW) for name in FLEET["node"]} | {"lb": change(Kind.NEW, "nginx_proxy")}
    found = rollout.make(of, plan(desired, of), {}, Policy())
    assert found.simple and found.build == of.targets
    assert plan_text.order(found) == []


@pytest.mark.parametrize(
    ("batch", "batches"),
    [
        ("1", [["gpu1"], ["gpu2"], ["gpu3"], ["gpu4"]]),
        ("50%", [["gpu1"], ["gpu2", "gpu3"], ["gpu4"]]),
        ("3", [["gpu1"], ["gpu2", "gpu3", "gpu4"]]),
        ("100%", [["gpu1"], ["gpu2", "gpu3", "gpu4"]]),
        ("25%", [["gpu1"], ["gpu2"], ["gpu3"], ["gpu4"]]),
        ("1%", [["gpu1"], ["gpu2"], ["gpu3"], ["gpu4"]]),
    ],
)
def test_one_alone_then_batches_and_always_one_serves(batch: str, batches: list[list[str]]) -> None:
    of = deployment(**FLEET)
    desired = {name: change() for name in FLEET["node"]}
    found = rollout.make(of, plan(desired, of), seen(*FLEET["node"]), Policy(batch))
    assert [each.hosts for each in found.batches] == batches
    assert [each.drained for each in found.batches] == batches


def test_a_change_that_no_call_notices_drains_nobody() -> None:
    of = deployment(**FLEET)
    desired = {name: change(calls=False) for name in FLEET["node"]}
    found = rollout.make(of, plan(desired, of), seen(*FLEET["node"]), Policy())
    assert (found.build, found.batches) == (FLEET["node"], [])


def test_the_last_server_of_a_profile_is_not_taken_away() -> None:
    of = deployment(node=["gpu1", "gpu2", "flux1"], proxy=["lb"])
    found = rollout.make(of, plan({"flux1": change()}, of), seen("gpu1", "gpu2", "flux1"), Policy())
    (problem,) = found.problems
    assert (problem.where, problem.value) == ("flux1", "1 of 1 serving now, deepgram_min_serving is 1")
    accepted = deployment(least=0, node=["gpu1", "gpu2", "flux1"], proxy=["lb"])
    found = rollout.make(accepted, plan({"flux1": change()}, accepted), seen("gpu1", "gpu2", "flux1"), Policy())
    assert not found.problems and found.batches[0].drained == ["flux1"]


def test_drained_servers_count_as_not_serving() -> None:
    of = deployment(**FLEET)
    members = seen("gpu1", "gpu2", gpu3=fleet.OPERATOR, gpu4=fleet.FAILED)
    found = rollout.make(of, plan({name: change() for name in FLEET["node"]}, of), members, Policy("4"))
    assert found.build == ["gpu3", "gpu4"]
    assert [each.hosts for each in found.batches] == [["gpu1"], ["gpu2"]]


def test_what_a_killed_run_left_drained_waits_to_be_given_back() -> None:
    of = deployment(**FLEET)
    members = seen("gpu1", gpu2=fleet.ROLLOUT, gpu3=fleet.FAILED, gpu4=fleet.OPERATOR)
    found = rollout.make(of, plan({}, of), members, Policy())
    assert found.waiting == ["gpu2", "gpu3"] and not found.simple


def test_engines_come_before_the_apis_that_use_them() -> None:
    of = deployment(api=["api1", "api2"], engine=["e1", "e2"], license_proxy=["l1", "l2"], proxy=["lb"])
    desired = {name: change() for name in ("api1", "api2", "e1", "e2", "l1", "l2")}
    found = rollout.make(of, plan(desired, of), seen("api1", "api2"), Policy("100%"))
    assert [each.hosts for each in found.batches] == [["l1"], ["l2"], ["e1"], ["e2"], ["api1"], ["api2"]]
    assert [each.drained for each in found.batches] == [[], [], [], [], ["api1"], ["api2"]]


def test_the_only_licence_proxy_is_changed_where_there_is_a_way_round_it() -> None:
    of = deployment(node=["gpu1"], license_proxy=["l1"], proxy=["lb"])
    assert rollout.make(of, plan({"l1": change()}, of), seen("gpu1"), Policy()).problems
    of.hosts["l1"].vars["deepgram_license_upstream"] = ["https://license.deepgram.com"]
    assert rollout.make(
        of, plan({"l1": change()}, of), seen("gpu1"), Policy()
    ).problems  # the way is the nodes' to have
    of.hosts["gpu1"].vars["deepgram_license_servers"] = ["https://l1:8443", "https://license.deepgram.com"]
    found = rollout.make(of, plan({"l1": change()}, of), seen("gpu1"), Policy())
    assert not found.problems and [each.hosts for each in found.batches] == [["l1"]]


def test_the_only_billing_is_changed_where_license_proxies_remember() -> None:
    alone = deployment(node=["gpu1"], billing=["b1"], proxy=["lb"])
    (problem,) = rollout.make(alone, plan({"b1": change()}, alone), seen("gpu1"), Policy()).problems
    assert "[billing]" in problem.what and "deepgram_min_serving: 0" in problem.fix
    behind = deployment(node=["gpu1"], billing=["b1"], license_proxy=["l1"], proxy=["lb"])
    found = rollout.make(behind, plan({"b1": change()}, behind), seen("gpu1"), Policy())
    assert not found.problems and [each.hosts for each in found.batches] == [["b1"]]


def test_of_several_billings_one_is_changed_at_a_time_and_before_those_that_ask_it() -> None:
    of = deployment(node=["gpu1", "gpu2"], billing=["b1", "b2"], license_proxy=["l1", "l2"], proxy=["lb"])
    desired = {name: change() for name in ("gpu1", "l1", "b1", "b2", "l2")}
    found = rollout.make(of, plan(desired, of), seen("gpu1", "gpu2"), Policy("100%"))
    assert [each.hosts for each in found.batches] == [["b1"], ["b2"], ["l1"], ["l2"], ["gpu1"]]


def silent() -> HostPlan:
    """A server whose Engine or License Proxy does not answer."""
    why = (Reason(Kind.DRIFTED, "address http://127.0.0.1:9991/metrics", now="does not answer: timed out"),)
    return HostPlan([Step("deepgram", "f", why)], restarts=["deepgram-engine"])


def test_without_a_word_of_the_deployment_one_must_serve() -> None:
    of = deployment(node=["gpu1"], proxy=["lb"])
    del of.hosts["gpu1"].vars["deepgram_min_serving"]
    (problem,) = rollout.make(of, plan({"gpu1": change()}, of), seen("gpu1"), Policy()).problems
    assert problem.value == "1 of 1 serving now, deepgram_min_serving is 1" and "deepgram_min_serving: 0" in problem.fix


def test_a_dead_server_is_healed_though_it_is_the_last_and_before_others_stop() -> None:
    of = deployment(node=["gpu1", "gpu2"], proxy=["lb"])
    members = seen("gpu1", "gpu2")
    members["gpu2"].states["lb"] = "down"
    found = rollout.make(of, plan({"gpu2": change()}, of), members, Policy())
    assert not found.problems and [each.hosts for each in found.batches] == [["gpu2"]]
    assert rollout.make(of, plan({"gpu1": change()}, of), members, Policy()).problems
    found = rollout.make(of, plan({"gpu1": change(), "gpu2": change()}, of), members, Policy("2"))
    assert not found.problems and [each.hosts for each in found.batches] == [["gpu2"], ["gpu1"]]


def test_the_last_engine_is_healed() -> None:
    of = deployment(api=["api1"], engine=["e1"])
    assert rollout.make(of, plan({"e1": change()}, of), {}, Policy()).problems
    assert not rollout.make(of, plan({"e1": silent()}, of), {}, Policy()).problems


def test_a_limit_to_the_last_engine_is_no_way_past_the_minimum() -> None:
    of = deployment(api=["api1"], engine=["e1"])
    assert rollout.make(of, Plan({"e1": change()}, {}), {}, Policy()).problems


def test_a_server_that_is_everything_counts_for_each_of_its_groups() -> None:
    of = deployment(node=["gpu1", "gpu2"], license_proxy=["gpu1"], proxy=["lb"])
    (problem,) = rollout.make(of, plan({"gpu1": change()}, of), seen("gpu1", "gpu2"), Policy()).problems
    assert "[license_proxy]" in problem.what
    for host in of.hosts.values():
        host.vars["deepgram_license_upstream"] = ["https://license.deepgram.com"]
    assert not rollout.make(of, plan({"gpu1": change()}, of), seen("gpu1", "gpu2"), Policy()).problems
    members = seen("gpu1", gpu2="operator")
    (problem,) = rollout.make(of, plan({"gpu1": change()}, of), members, Policy()).problems
    assert "[node], profile stt" in problem.what


def test_one_server_that_is_everything_is_changed_at_once() -> None:
    of = deployment(node=["gpu1"], license_proxy=["gpu1"])
    assert rollout.make(of, plan({"gpu1": change()}, of), {}, Policy()).simple


def test_the_last_engine_is_not_taken_away() -> None:
    of = deployment(api=["api1"], engine=["e1"], proxy=["lb"])
    assert rollout.make(of, plan({"e1": change()}, of), seen("api1"), Policy()).problems


def test_without_a_proxy_for_all_each_is_changed_in_its_turn() -> None:
    of = deployment(node=["gpu1", "gpu2", "gpu3"])
    desired = {"gpu1": change(), "gpu2": change(), "gpu3": change(Kind.NEW)}
    found = rollout.make(of, plan(desired, of), {}, Policy())
    assert found.build == ["gpu3"] and [each.hosts for each in found.batches] == [["gpu1"], ["gpu2"]]
    assert not any(each.drained for each in found.batches)


def test_the_only_server_is_changed_at_once() -> None:
    of = deployment(node=["gpu1"])
    assert rollout.make(of, plan({"gpu1": change()}, of), {}, Policy()).simple


@pytest.mark.parametrize("text", ["0", "0%", "101%", "-1", "a", "", "1.5", "%"])
def test_what_is_no_batch(text: str) -> None:
    assert not Policy.valid(text)


def test_the_order_is_said() -> None:
    of = deployment(**FLEET)
    desired = {"gpu1": change(), "gpu4": change(Kind.NEW), "lb": change(role="nginx_proxy", calls=False)}
    found = rollout.make(of, plan(desired, of), seen("gpu1", "gpu2", "gpu3"), Policy())
    assert plan_text.order(found) == [
        "order:",
        "  1. at once: gpu4",
        "  2. proxies: lb",
        "  3. Change 1/1: gpu1, drained",
    ]


def test_a_line_deleted_by_hand_is_said() -> None:
    of = deployment(node=["gpu1", "gpu2"], proxy=["lb"])
    found = rollout.make(
        of,
        plan({"lb": change(role="nginx_proxy", calls=False)}, of),
        seen("gpu1", "gpu2", "gpu3", gpu4="operator"),
        Policy(),
    )
    assert found.missing == ["gpu3"] and "gpu3: no longer in the inventory" in plan_text.order(found)[-1]


def test_a_limit_without_proxies_leaves_a_new_server_unheard_of() -> None:
    of = deployment(**FLEET)
    limited = Plan({"gpu4": change(Kind.NEW)}, {})
    found = rollout.make(of, limited, seen("gpu1", "gpu2", "gpu3"), Policy())
    assert found.unheard == ["gpu4"] and "--limit" in plan_text.order(found)[-1]
    assert not rollout.make(of, plan({"gpu4": change(Kind.NEW)}, of), seen("gpu1"), Policy()).unheard


def test_members_from_two_proxies() -> None:
    report = {
        "/run/state.json": {"members": {"gpu1": {"state": "up"}, "gpu2": {"state": "drained", "reason": "failed"}}}
    }
    other = {"/run/state.json": {"members": {"gpu1": {"state": "down"}, "gpu2": {"state": "up"}}}}
    found = fleet.members([("lb1", report), ("lb2", other), ("lb3", {"/run/state.json": None})])
    assert found["gpu1"].states == {"lb1": "up", "lb2": "down"} and not found["gpu1"].drained
    assert found["gpu2"].drained and found["gpu2"].serves and found["gpu2"].reason == fleet.FAILED


def apart(least: int = 1, **asks: list[str]) -> Deployment:
    """APIs (name=[the Engines that it asks]) behind a proxy, and these Engines."""
    engines = list(dict.fromkeys(name for names in asks.values() for name in names))
    of = deployment(least, api=list(asks), engine=engines, proxy=["lb"])
    for name, host in of.hosts.items():
        host.vars |= {"deepgram_parts": ["api" if name in asks else "engine"]}
        host.vars |= {"deepgram_engine_addresses": [f"{engine}:8080" for engine in asks.get(name, [])]}
    return of


def test_an_api_gets_no_requests_while_the_only_engine_that_it_asks_is_changed() -> None:
    of = apart(eu=["e1", "e2"], us=["e3"])
    desired = {name: change() for name in ("e1", "e2", "e3")}
    found = rollout.make(of, plan(desired, of), seen("eu", "us"), Policy())
    assert not found.problems
    assert [(each.hosts, each.dependents) for each in found.batches] == [(["e1"], []), (["e2"], []), (["e3"], ["us"])]
    assert plan_text.order(found)[-1] == "  3. Change 3/3: e3, us drained"
    together = rollout.make(of, plan(desired, of), seen("eu", "us"), Policy("2"))
    assert [each.dependents for each in together.batches] == [[], ["us"]]


def test_the_only_engine_of_the_last_api_is_not_taken_away() -> None:
    of = apart(eu=["e1"], us=["e2"])
    (problem,) = rollout.make(of, plan({"e1": change()}, of), seen("eu", us=fleet.OPERATOR), Policy()).problems
    assert problem.where == "e1" and "eu asks no other Engine, and too few others of [api]" in problem.what
    assert problem.value == "1 of 2 serving now, deepgram_min_serving is 1" and problem.fix
    accepted = apart(0, eu=["e1"], us=["e2"])
    found = rollout.make(accepted, plan({"e1": change()}, accepted), seen("eu", us=fleet.OPERATOR), Policy())
    assert not found.problems and found.batches[0].dependents == []


def test_an_engine_that_answers_nobody_is_healed_though_its_api_has_no_other() -> None:
    of = apart(eu=["e1"], us=["e2"])
    found = rollout.make(of, plan({"e1": silent()}, of), seen("eu", us=fleet.OPERATOR), Policy())
    assert not found.problems and found.batches[0].dependents == []


def test_what_a_killed_run_left_drained_for_its_engine_waits_for_that() -> None:
    of = apart(eu=["e1"], us=["e2"])
    for steps in ({}, {"us": change()}):  # with nothing to do, and with a change of its own
        found = rollout.make(of, plan({"e2": silent()} | steps, of), seen("eu", us=fleet.ROLLOUT), Policy())
        assert (found.waiting, found.build) == ([], []) and found.batches[0].dependents == ["us"]
        assert [each.hosts for each in found.batches] == [["e2"], *([name] for name in steps)]


def test_an_api_of_a_voice_agent_needs_an_engine_of_each_kind() -> None:
    of = apart(eu=["hears1", "hears2", "speaks"], us=["e2"])
    flags = {"hears1:8080": "streaming_stt", "hears2:8080": "streaming_stt", "speaks:8080": "tts"}
    of.hosts["eu"].vars["deepgram_engine_flags"] = flags
    found = rollout.make(of, plan({"hears1": change(), "speaks": change()}, of), seen("eu", "us"), Policy())
    assert [(each.hosts, each.dependents) for each in found.batches] == [(["hears1"], []), (["speaks"], ["eu"])]


def test_an_api_needs_a_server_whose_engines_are_all_that_it_asks() -> None:
    of = apart(eu=["e1"], us=["e2"])
    of.hosts["e2"].vars["deepgram_engines"] = [{"name": "a"}, {"name": "b"}]
    of.hosts["us"].vars["deepgram_engine_addresses"] = ["e2:8080", "e2:8081"]
    assert floor.needs(of) == {"eu": [{"e1"}], "us": [{"e2"}]}
    of.hosts["us"].vars["deepgram_engine_addresses"] = ["e2:8080", "elsewhere.test:8080"]
    assert floor.dependents(floor.needs(of), ["e2"]) == []
