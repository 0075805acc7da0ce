"""From what a look found to steps with their reasons, and to words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dgctl.base.errors import Problem
from dgctl.content import roles
from dgctl.plan import plan as plans
from dgctl.plan.desired import Desired
from dgctl.plan.look import Seen
from dgctl.plan.plan import HostPlan, Plan
from dgctl.rollout import plan_text
from tests.plan.conftest import answers, right
from tests.unit.validating import read, set_variable

ROLES = ("docker", "deepgram", "nginx_proxy")


def make(monkeypatch: pytest.MonkeyPatch, gpu1: Seen, lately: dict[str, float] | None = None, **options: Any) -> Plan:
    answers(monkeypatch, {"gpu1": gpu1, "gpu2": Seen(right(*ROLES), verified=True)})
    return plans.make(read(), lately or {}, lambda name, seen: None, **options)


def found(**states: dict[str, Any]) -> Seen:
    return Seen({**right(*ROLES), **states})


def reasons(host: HostPlan) -> list[tuple[str, str, str]]:
    return [(step.role, reason.kind, reason.subject) for step in host.steps for reason in step.reasons]


def test_right_hosts_have_no_steps(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make(monkeypatch, Seen(right(*ROLES), verified=True))
    assert (plan.changing, plan.unverified) == ([], [])
    assert plan_text.lines(plan) == ["gpu1, gpu2: in sync"]


def test_right_and_not_verified(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make(monkeypatch, Seen(right(*ROLES)))
    assert (plan.changing, plan.unverified) == ([], ["gpu1"])


def test_a_changed_variable_is_named_with_both_values(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    applied = {"content": "", "variables": {"nginx_proxy_port": 80}}
    plan = make(monkeypatch, found(nginx_proxy={"state": "changed", "applied": applied, "drift": []}))
    assert ("nginx_proxy", "changed", "variable nginx_proxy_port") in reasons(plan.hosts["gpu1"])
    text = "\n".join(plan_text.lines(plan, all_reasons=True))
    assert "nginx_proxy_port: 80 -> 443" in text
    assert "role: it is another than the one that ran here" in text
    assert plan.hosts["gpu1"].restarts == []


def test_a_changed_secret_stays_secret(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    applied = {"content": "", "variables": {"deepgram_api_key": {"secret": "0f"}}}
    plan = make(monkeypatch, found(deepgram={"state": "changed", "applied": applied, "drift": []}))
    assert "deepgram_api_key: (secret) -> (secret)" in "\n".join(plan_text.lines(plan))


def test_drift_names_the_thing_and_what_it_restarts(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drift = [{"thing": "file /etc/deepgram/api/api.toml", "how": "content differs"}]
    seen = found(deepgram={"state": "drifted", "drift": drift})
    seen.answers = {"http://127.0.0.1:8080/v1/status": {"active_batch_requests": 2, "active_stream_requests": 1}}
    plan = make(monkeypatch, seen, {"deepgram": 12.0})
    host = plan.hosts["gpu1"]
    assert (host.roles, host.restarts, host.busy, host.seconds) == (["deepgram"], ["deepgram-api"], 3, 12.0)
    lines = plan_text.lines(plan)
    assert lines[0] == (
        "gpu1: 1 role to run; restarts deepgram-api, once 3 requests of now are done; no reboot; about 12s"
    )
    assert lines[1] == "  deepgram  file /etc/deepgram/api/api.toml: content differs"


def test_only_containers_that_the_server_has_are_said_to_restart(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variable("deepgram_parts: [engine]")
    drift = [{"thing": "file /etc/deepgram/api/api.toml", "how": "content differs"}]
    host = make(monkeypatch, found(deepgram={"state": "drifted", "drift": drift})).hosts["gpu1"]
    assert (host.roles, host.restarts) == (["deepgram"], [])


def test_other_drift_restarts_nothing(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drift = [{"thing": "package curl", "how": "is gone"}]
    assert make(monkeypatch, found(deepgram={"state": "drifted", "drift": drift})).hosts["gpu1"].restarts == []


def test_roles_that_follow_run_too(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make(monkeypatch, found(docker={"state": "new"}), {"docker": 3.0})
    host = plan.hosts["gpu1"]
    assert reasons(host) == [("docker", "new", ""), ("deepgram", "follows", "docker")]
    assert host.restarts == ["deepgram-api"]
    assert host.seconds is None  # nothing is known of one of its roles


@pytest.mark.parametrize(
    ("things", "allowed", "calm"),
    [
        (["file /etc/apt/x"], False, True),
        (["file /etc/apt/x", "file /etc/apt/y"], False, True),
        (["file /etc/apt/x", "package docker"], False, False),
        (["file /etc/apt/x"], True, False),
    ],
)
def test_what_changes_nothing_for_others_has_nobody_follow(
    small: Path, monkeypatch: pytest.MonkeyPatch, things: list[str], allowed: bool, calm: bool
) -> None:
    if allowed:
        set_variable("docker_reboot_allowed: true")
    drift = [{"thing": thing, "how": "missing"} for thing in things]
    host = make(monkeypatch, found(docker={"state": "drifted", "drift": drift})).hosts["gpu1"]
    assert host.roles == (["docker"] if calm else ["docker", "deepgram"])
    assert host.restarts == ([] if calm else ["deepgram-api"])


def test_it_may_reboot_only_where_that_is_allowed(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    applied = {"content": "", "variables": {"deepgram_release": "release-1"}}
    seen = found(deepgram={"state": "changed", "applied": applied, "drift": []})
    assert make(monkeypatch, seen).hosts["gpu1"].reboot is False
    set_variable("deepgram_reboot_allowed: true")
    plan = make(monkeypatch, seen)
    assert plan.hosts["gpu1"].reboot is True and "may reboot" in plan_text.lines(plan)[0]
    assert plan_text.reboots(plan) == ", of which 1 may reboot"


def test_a_new_server_may_reboot_where_that_is_allowed(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variable("deepgram_reboot_allowed: true")
    assert make(monkeypatch, found(deepgram={"state": "new"})).hosts["gpu1"].reboot is True
    assert make(monkeypatch, found(docker={"state": "new"})).hosts["gpu1"].reboot is False  # deepgram only follows


def test_who_keeps_the_driver_is_named_beforehand(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    applied = {"content": "", "variables": {"deepgram_release": "release-1"}}
    keepers = ["python (pid 7, of session-3.scope)"]
    seen = found(deepgram={"state": "changed", "applied": applied, "drift": [], "keepers": keepers})
    plan = make(monkeypatch, seen)
    assert "no reboot, so end this first: python (pid 7, of session-3.scope) uses the GPU" in plan_text.lines(plan)[0]
    assert plan_text.reboots(plan) == ""
    set_variable("deepgram_reboot_allowed: true")
    plan = make(monkeypatch, seen)
    assert "reboots, because python (pid 7, of session-3.scope) uses the GPU" in plan_text.lines(plan)[0]
    assert plan_text.reboots(plan) == ", of which 1 will reboot"


@pytest.mark.parametrize("state", ["distrusted", "unfinished"])
def test_doubt_is_a_reason_in_its_own_words(small: Path, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    plan = make(monkeypatch, found(nginx_proxy={"state": state, "why": "it was edited by hand"}))
    assert reasons(plan.hosts["gpu1"]) == [("nginx_proxy", state, "it was edited by hand")]


def test_a_look_that_says_nothing_skips_nothing(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make(monkeypatch, Seen(doubt="the look failed: no memory"))
    assert plan.hosts["gpu1"].roles == list(ROLES)
    assert all(kind == "distrusted" for _, kind, _ in reasons(plan.hosts["gpu1"])[:1])


@pytest.mark.parametrize("state", ["drifted", "changed", "something"])
def test_not_right_is_never_skipped(small: Path, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    plan = make(monkeypatch, found(nginx_proxy={"state": state}))
    assert plan.hosts["gpu1"].roles == ["nginx_proxy"]


def test_a_variable_of_facts_is_always_a_reason(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variable("nginx_proxy_port: \"{{ ansible_facts['x'] }}\"")
    plan = make(monkeypatch, Seen(right(*ROLES), verified=True))
    assert reasons(plan.hosts["gpu1"]) == [("nginx_proxy", "changed", "variable nginx_proxy_port")]


def test_full_runs_what_is_right_as_well(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make(monkeypatch, Seen(right(*ROLES), verified=True), full=True)
    assert plan.changing == ["gpu1", "gpu2"]
    assert reasons(plan.hosts["gpu1"]) == [(role, "full", "") for role in ROLES]


def test_a_host_out_of_reach_has_a_problem_and_no_steps(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem("nothing listens", "gpu1")
    plan = make(monkeypatch, Seen(problem=problem))
    assert (plan.changing, plan.problems, plan.unverified) == ([], [problem], [])


def test_hosts_of_a_play_are_those_whose_role_is_to_run(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make(monkeypatch, found(nginx_proxy={"state": "new"}))
    assert plan.hosts_of_play(read()) == {
        "Preflight": ["gpu1"], "Keep what was verified": [], "Begin": ["gpu1"],
        "Container engine": [], "Deepgram": [], "TLS proxy": ["gpu1"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "asked"),
    [
        ({"state": "changed", "applied": {"variables": {"nginx_proxy_hsts_max_age_s": 80}}}, False),
        ({"state": "changed", "applied": {"variables": {"nginx_proxy_port": 80}}}, True),
        ({"state": "changed", "applied": {"variables": {"deepgram_release": "release-1"}}}, True),
        ({"state": "changed", "applied": {"content": "another", "variables": {}}}, True),
        ({"state": "drifted", "drift": [{"thing": "file /x", "how": "is gone"}]}, True),
        ({"state": "new"}, True),
    ],
)
def test_the_preflight_is_asked_where_it_could_say_something_else(
    small: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any], asked: bool
) -> None:
    role = roles.role("nginx_proxy")
    applied = state.get("applied")
    if applied:
        now = Desired(read()).of(read().hosts["gpu1"])["nginx_proxy"]
        variables = {**now["variables"], **applied["variables"]}
        state = {**state, "applied": {"content": applied.get("content", role.content), "variables": variables}}
    plan = make(monkeypatch, found(nginx_proxy=state))
    assert plan.hosts["gpu1"].preflight is asked
    assert plan.hosts_of_play(read())["Preflight"] == (["gpu1"] if asked else [])


def test_servers_with_one_plan_share_its_lines(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = found(nginx_proxy={"state": "new"})
    answers(monkeypatch, {"gpu1": seen, "gpu2": seen})
    lines = plan_text.lines(plans.make(read(), {}, lambda name, seen: None))
    assert lines[0].startswith("gpu1, gpu2: 1 role to run")
    assert len(lines) == 2
