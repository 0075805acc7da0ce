"""A rollout on its way: in which order servers are drained, changed, verified and given back, and what a failure does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.deployment.deployment import Deployment
from dgctl.output.report import Check, Outcome
from dgctl.plan.plan import HostPlan, Plan, Step
from dgctl.plan.reasons import Kind, Reason
from dgctl.rollout import rollout
from dgctl.rollout.rolling import Rolling
from dgctl.rollout.rollout import Policy
from dgctl.run.collector import HostResult, RunResult
from tests.plan.test_rollout import FLEET, apart, change, deployment, plan, seen, silent

ONE = Policy()
WORD = {"provision.yml": "change", "preflight.yml": "preflight", "fetch.yml": "fetch"}


class World:
    """What Ansible and the checks would do: `fails` by word, the hosts that fail at it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **fails: list[str]):
        self.done: list[str] = []
        self.silent: list[str] = []
        self.reported: list[str] = []
        self.fails = fails
        self.interrupt_at = ""
        monkeypatch.setattr("dgctl.rollout.rolling.outcomes.ran", self._ran)
        monkeypatch.setattr("dgctl.rollout.rolling.outcomes.verify", self._verify)
        self.noted: list[str] = []
        monkeypatch.setattr(
            "dgctl.rollout.provisioning.started", lambda work, plan, part: self.noted.extend(part.hosts) or part
        )
        monkeypatch.setattr("dgctl.rollout.rolling.look.mark_verified", lambda requests: list(requests))
        monkeypatch.setattr("dgctl.deployment.deployment.Deployment.digest", lambda deployment: self.inventory)
        self.inventory = "as it was"
        self.edited_at = ""
        self.lost_at = ""

    def require_lease(self) -> None:
        if self.done and self.done[-1] == self.lost_at:
            raise DgctlError(Problem("another run took this one's lease", "lb"), Exit.LOCKED)

    def _ran(self, work: Any, name: str, alone: bool, part: Any) -> RunResult:
        word = WORD.get(name) or f"{name.removesuffix('.yml')} {part.variables.get('drain_reason', '')}".strip()
        hosts = part.variables.get("drain") or part.variables.get("undrain") or part.hosts
        self.done.append(f"{word}: {' '.join(hosts)}")
        self.silent += part.variables.get("drain_silent", [])
        if self.done[-1] == self.edited_at:
            self.inventory = "another"
        if self.interrupt_at == f"^C {self.done[-1]}":
            raise KeyboardInterrupt
        bad = [host for host in self.fails.get(word.split()[0], []) if host in (*part.hosts, *hosts)]
        ends = {host: HostResult("changed", 1, seconds=1.0) for host in part.hosts}
        ends |= {host: HostResult("failed", 0, [Problem("it broke", host)]) for host in bad}
        return RunResult(ends, interrupted=self.interrupt_at == self.done[-1])

    def _verify(self, work: Any, hosts: list[str]) -> list[Check]:
        self.done.append(f"verify: {' '.join(hosts)}")
        bad = self.fails.get("verify", [])
        return [Check(host, "works", "fail" if host in bad else "pass") for host in hosts]


def roll(
    world: World,
    desired: dict[str, Any],
    members: dict[str, Any],
    policy: Policy = ONE,
    least: int = 1,
    of: Deployment | None = None,
) -> Outcome:
    of = of or deployment(least, **FLEET)
    session = SimpleNamespace(
        again=lambda verb=None, limit=None: f"dgctl {verb or 'provision'}", command="provision", record=None
    )
    work: Any = SimpleNamespace(deployment=of, session=session, log="", lowered=list, tell=world.reported.append)
    work.require_lease = world.require_lease
    found: Plan = plan(desired, of)
    found.desired = {name: {"deepgram": {"fingerprint": "f"}} for name in of.targets}
    return Rolling(work, found, rollout.make(of, found, members, policy), members, policy).run()


def states(outcome: Outcome) -> dict[str, str]:
    return {name: host.state for name, host in (outcome.hosts or {}).items()}


ALL = {name: change() for name in FLEET["node"]}


def test_a_serving_server_is_drained_changed_verified_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    outcome = roll(world, {"gpu2": change()}, seen(*FLEET["node"]))
    assert world.done == [
        "preflight: gpu2",
        "fetch: gpu2",
        "drain rollout: gpu2",
        "change: gpu2",
        "verify: gpu2",
        "undrain: gpu2",
    ]
    assert outcome.exit_code == Exit.OK
    assert states(outcome) == {"gpu1": "ok", "gpu2": "changed", "gpu3": "ok", "gpu4": "ok", "lb": "ok"}
    assert outcome.timings["tasks"] == 5.0, "a second for each of the five runs of Ansible"


def test_only_one_that_does_not_answer_need_not_say_how_many_requests_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    world, members = World(monkeypatch), seen(*FLEET["node"])
    members["gpu2"].states["lb"] = "down"
    roll(world, {"gpu2": change(), "gpu3": change()}, members)
    assert "drain rollout: gpu2" in world.done and "drain rollout: gpu3" in world.done and world.silent == ["gpu2"]


def test_nothing_is_fetched_for_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    world, setting = World(monkeypatch), change()
    setting.fetches = False
    roll(world, {"gpu2": setting}, seen(*FLEET["node"]))
    assert not any(text.startswith("fetch") for text in world.done)


def test_a_new_server_is_verified_before_the_proxies_hear_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    desired = {"gpu4": change("new"), "lb": change(role="nginx_proxy", calls=False)}
    assert roll(world, desired, seen("gpu1", "gpu2", "gpu3")).exit_code == Exit.OK
    assert world.done[1:] == ["change: gpu4", "verify: gpu4", "change: lb", "verify: lb"]


JOINS = HostPlan(
    [Step("deepgram", "f", (Reason(Kind.CHANGED, "variable deepgram_engines"),))], restarts=["deepgram-api"]
)


@pytest.mark.parametrize("proxy", [{"lb": change(role="nginx_proxy", calls=False)}, {"lb": HostPlan(verified=False)}])
@pytest.mark.parametrize(
    ("asks", "exit_code"),
    [
        (
            [
                "transcription.file: pass",
                "transcription.flux: fail, then pass",
                "upstreams.members_up: fail, then pass",
            ],
            0,
        ),
        (["transcription.file: pass", "transcription.flux: fail"], 6),  # by the end every server has it
        (["transcription.file: pass", "tls.name: fail, then pass"], 6),  # no matter of products
        (["transcription.file: fail, then pass", "transcription.flux: fail, then pass"], 6),  # nothing is served at all
    ],
)
def test_a_proxy_may_miss_a_product_until_the_servers_have_it(
    monkeypatch: pytest.MonkeyPatch, asks: list[str], exit_code: int, proxy: dict[str, HostPlan]
) -> None:
    world, times = World(monkeypatch), [0]

    def verify(work: Any, hosts: list[str]) -> list[Check]:
        world.done.append(f"verify: {' '.join(hosts)}")
        if hosts != ["lb"]:
            return [Check(host, "works", "pass") for host in hosts]
        times[0] += 1
        pairs = [one.partition(": ")[::2] for one in asks]
        return [
            Check("lb", name, reported.split(", then ")[min(times[0], len(reported.split(", then "))) - 1])
            for name, reported in pairs
        ]

    monkeypatch.setattr("dgctl.rollout.rolling.outcomes.verify", verify)
    marked: list[str] = []
    monkeypatch.setattr(
        "dgctl.rollout.rolling.look.mark_verified", lambda those: marked.extend(host.name for host, _ in those)
    )
    outcome = roll(world, {"gpu1": JOINS, **proxy}, seen(*FLEET["node"]))
    assert outcome.exit_code == exit_code
    assert ("lb" in marked) is (exit_code == 0) and ("gpu1" in marked) is (
        "flux" in asks[1] and "fail, then" not in asks[0]
    )


def test_a_new_server_that_fails_is_held_back_and_the_proxies_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, verify=["gpu4"])
    desired = {"gpu4": change("new"), "lb": change(role="nginx_proxy", calls=False)}
    outcome = roll(world, desired, seen("gpu1", "gpu2", "gpu3"))
    assert world.done[-1] == "drain failed: gpu4"
    assert outcome.exit_code == Exit.HALTED and states(outcome)["gpu4"] == "failed"


def test_the_first_failure_ends_the_rollout_and_stays_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, change=["gpu2"])
    outcome = roll(world, ALL, seen(*FLEET["node"]))
    assert [text for text in world.done if text.startswith(("drain", "undrain"))] == [
        "drain rollout: gpu1",
        "undrain: gpu1",
        "drain rollout: gpu2",
        "drain failed: gpu2",
    ]
    assert outcome.exit_code == Exit.HALTED
    assert [states(outcome)[name] for name in FLEET["node"]] == ["changed", "failed", "skipped", "skipped"]
    assert outcome.summary.startswith("5 servers: 1 changed, 1 in sync, gpu2 failed, 2 not done; ")
    assert "gpu2 gets no requests (drained)" in outcome.summary


def test_within_the_budget_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, verify=["gpu2"])
    outcome = roll(world, ALL, seen(*FLEET["node"]), Policy("1", max_fail=1))
    assert outcome.exit_code == Exit.SOME_FAILED
    assert [states(outcome)[name] for name in FLEET["node"]] == ["changed", "failed", "changed", "changed"]


def test_a_canary_that_fails_ends_the_run_whatever_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, change=["gpu1"])
    outcome = roll(world, ALL, seen(*FLEET["node"]), Policy("1", max_fail=3))
    assert outcome.exit_code == Exit.HALTED and world.reported == ["Change 1/4: gpu1, drained first"]
    assert [states(outcome)[name] for name in FLEET["node"]] == ["failed", "skipped", "skipped", "skipped"]


def test_an_inventory_that_changes_during_the_run_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.edited_at = "change: gpu1"
    outcome = roll(world, ALL, seen(*FLEET["node"]))
    assert world.done[-2:] == ["change: gpu1", "verify: gpu1"] and outcome.exit_code == Exit.HALTED
    assert "changed during the run" in outcome.errors[0].what and states(outcome)["gpu1"] == "drained"


def test_no_server_notes_the_beginning_of_what_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.edited_at = "drain rollout: gpu1"
    outcome = roll(world, ALL, seen(*FLEET["node"]))
    assert world.done[-1].startswith("drain") and world.noted == [] and outcome.exit_code == Exit.HALTED


def test_a_run_whose_lease_another_took_stops_before_its_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.lost_at = "drain rollout: gpu1"
    outcome = roll(world, ALL, seen(*FLEET["node"]))
    assert world.done[-1] == world.lost_at and world.noted == [] and outcome.exit_code == Exit.LOCKED
    assert "lease" in outcome.errors[0].what and outcome.summary.endswith("gpu1 gets no requests (drained)")


def test_interrupted_between_two_runs_of_ansible(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.interrupt_at = "^C change: gpu1"
    outcome = roll(world, ALL, seen(*FLEET["node"]))
    assert outcome.exit_code == Exit.INTERRUPTED and "gpu1 gets no requests" in outcome.summary


def test_healthy_peers_of_a_batch_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, change=["gpu2"])
    outcome = roll(world, ALL, seen(*FLEET["node"]), Policy("3"))
    assert world.done[-4:] == [
        "change: gpu2 gpu3 gpu4",
        "verify: gpu3 gpu4",
        "drain failed: gpu2",
        "undrain: gpu3 gpu4",
    ]
    assert [states(outcome)[name] for name in FLEET["node"]] == ["changed", "failed", "changed", "changed"]


def test_a_batch_that_failures_leave_no_room_for_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, verify=["gpu2"])
    desired = {name: change() for name in ("gpu1", "gpu2", "gpu3", "gpu4")}
    outcome = roll(world, desired, seen(*FLEET["node"]), Policy("1", max_fail=9), least=3)
    assert world.done[-1] == "drain failed: gpu2" and outcome.exit_code == Exit.HALTED
    assert "gpu3 cannot stop serving" in outcome.errors[-1].what
    assert "deepgram_min_serving is 3" in outcome.errors[-1].value


def test_the_last_that_serve_are_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that no call notices, after which no server transcribes any more: one must go on as it can."""
    world = World(monkeypatch, verify=list(FLEET["node"]))
    desired = {name: change(calls=False) for name in FLEET["node"]}
    outcome = roll(world, desired, seen(*FLEET["node"]))
    assert world.done[-1] == "drain failed: gpu1 gpu2 gpu3" and outcome.exit_code == Exit.HALTED
    assert ("it does not work, and still gets requests", "gpu4") in {(each.what, each.where) for each in outcome.errors}


def test_what_cannot_be_drained_is_given_back_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, drain=["gpu1"])
    outcome = roll(world, ALL, seen(*FLEET["node"]))
    assert world.done[-2:] == ["drain rollout: gpu1", "undrain: gpu1"]
    assert outcome.exit_code == Exit.HALTED and not any(text.startswith("change") for text in world.done)


def test_a_failed_preflight_touches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, preflight=["gpu3"])
    outcome = roll(world, ALL, seen(*FLEET["node"]))
    assert len(world.done) == 1 and outcome.exit_code == Exit.PREFLIGHT


def test_what_cannot_be_fetched_touches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, fetch=["gpu3"])
    outcome = roll(world, ALL, seen(*FLEET["node"]))
    assert world.done == ["preflight: gpu1 gpu2 gpu3 gpu4", "fetch: gpu1 gpu2 gpu3 gpu4"]
    assert outcome.exit_code == Exit.HALTED and states(outcome)["gpu1"] == "skipped"


def test_interrupted_in_the_middle_it_says_who_is_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.interrupt_at = "change: gpu2"
    outcome = roll(world, ALL, seen(*FLEET["node"]))
    assert world.done[-1] == "change: gpu2" and outcome.exit_code == Exit.INTERRUPTED
    assert states(outcome)["gpu2"] == "drained" and states(outcome)["gpu3"] == "skipped"


def test_the_next_run_goes_on_where_the_last_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    members = seen("gpu1", "gpu4", gpu2="rollout", gpu3="failed")
    roll(world, {"gpu2": change(), "gpu4": change()}, members)
    assert world.done == [
        *("preflight: gpu2 gpu4", "fetch: gpu4", "change: gpu2", "verify: gpu2 gpu3", "undrain: gpu2 gpu3"),
        *("drain rollout: gpu4", "change: gpu4", "verify: gpu4", "undrain: gpu4"),
    ]


def test_what_a_person_drained_is_changed_and_stays_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    desired = {"gpu2": change(), "gpu1": change()}
    outcome = roll(world, desired, seen("gpu1", "gpu3", "gpu4", gpu2="operator"))
    assert "undrain: gpu2" not in world.done and "verify: gpu2" in world.done
    assert states(outcome)["gpu2"] == "drained" and outcome.exit_code == Exit.OK


def calm() -> HostPlan:
    """An Engine's change for which nothing is fetched."""
    found = change()
    found.fetches = False
    return found


def test_an_api_is_drained_while_its_only_engine_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    outcome = roll(world, {"e2": calm()}, seen("eu", "us"), of=apart(eu=["e1"], us=["e2"]))
    assert world.done[1:] == ["drain rollout: us", "change: e2", "verify: e2", "undrain: us"]
    assert outcome.exit_code == Exit.OK and states(outcome)["us"] == "ok"


def test_an_api_whose_only_engine_does_not_work_stays_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, verify=["e2"])
    outcome = roll(world, {"e2": calm()}, seen("eu", "us"), of=apart(eu=["e1"], us=["e2"]))
    assert world.done[-1] == "verify: e2" and states(outcome)["us"] == "drained" and outcome.exit_code == Exit.HALTED


def test_an_api_that_has_one_engine_left_is_undrained(monkeypatch: pytest.MonkeyPatch) -> None:
    world, of = World(monkeypatch, verify=["e4"]), apart(eu=["e1", "e2"], us=["e3", "e4"])
    desired = {name: calm() for name in ("e1", "e3", "e4")}
    outcome = roll(world, desired, seen("eu", "us"), Policy("2", max_fail=1), of=of)
    assert world.done[-4:] == ["drain rollout: us", "change: e3 e4", "verify: e3 e4", "undrain: us"]
    assert states(outcome)["us"] == "ok" and states(outcome)["e4"] == "failed"


def test_an_api_that_a_killed_run_left_drained_is_verified_after_its_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    world, of = World(monkeypatch), apart(eu=["e1"], us=["e2"])
    roll(world, {"e2": silent()}, seen("eu", us="rollout"), of=of)
    assert world.done[-4:] == ["change: e2", "verify: e2", "verify: us", "undrain: us"]
    world = World(monkeypatch)
    roll(world, {"e2": silent(), "us": HostPlan(verified=False)}, seen("eu", us="rollout"), of=of)
    assert world.done[-4:] == ["change: e2", "verify: e2", "verify: us", "undrain: us"]
    world = World(monkeypatch, verify=["us"])
    outcome = roll(world, {"e2": silent()}, seen("eu", us="failed"), of=of)
    assert world.done[-1] == "verify: us" and states(outcome)["us"] == "failed"


def test_the_last_api_is_not_drained_for_its_engine_after_another_one_s_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    world, of = World(monkeypatch, verify=["e1"]), apart(new=["e3"], eu=["e1"], us=["e2"])
    desired = {name: calm() for name in ("e3", "e1", "e2")}
    outcome = roll(world, desired, seen("eu", "us"), Policy(max_fail=1), of=of)  # no proxy knows `new`
    assert world.done[-1] == "verify: e1" and outcome.exit_code == Exit.HALTED
    assert any("us cannot stop serving" in problem.what for problem in outcome.errors)
