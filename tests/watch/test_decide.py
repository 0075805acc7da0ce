"""What the watchdog does next, as a table of worlds: it serves in doubt, acts once, and knows when to stop."""

import itertools
import json

import pytest

from tests import utilities

utilities.use()

from ansible.module_utils.watch import decide  # noqa: E402
from ansible.module_utils.watch.decide import ACTING, HAND, IN, OUT, PROVING, Finding, Policy, World, fresh  # noqa: E402

HANG = Finding("engine hangs", "the Engine hangs", "kill engine", 2, False)
LOST = Finding("gpu lost", "the Engine's container lost its GPU", "restart engine", 2, True)
XID = Finding("gpu", "Xid 79", "reboot", 1, False, False, "reseat the card")
NO_ENGINE = Finding("no engine", "the API has no Engine", "")
OTHERS = ({"state": "up", "up": 2, "all": 2},)
LEFT = ({"state": "down", "up": 2, "all": 2},)
POLICY = Policy()


def run(state, worlds, policy=POLICY, start=1000, step=2):
    """The last step after these worlds, one every two seconds, and all events."""
    events, found = [], None
    for number, world in enumerate(worlds):
        found = decide.decide(state, world, start + step * number, policy)
        state = found.state
        events += [name for name, _ in found.events]
    return found, events


def out(**changes):
    return dict(fresh(), phase=OUT, reason="the Engine hangs", since=1000, rows={HANG.name: 9}, **changes)


def test_a_healthy_node_stays_in():
    step, events = run(fresh(), [World(proxies=OTHERS)] * 5)
    assert (step.state["phase"], step.action, events) == (IN, None, [])


def test_a_finding_must_be_seen_so_often_in_a_row():
    hanging, well = World((HANG,), proxies=OTHERS), World(proxies=OTHERS)
    assert run(fresh(), [hanging, well, hanging, well, hanging])[0].state["phase"] == IN
    step, events = run(fresh(), [hanging] * 2)
    assert (step.state["phase"], events) == (OUT, ["out"])


def test_the_whole_way_of_a_hung_engine():
    worlds = [World((HANG,), proxies=OTHERS)] * 2 + [World((HANG,), proxies=LEFT)] * 2
    step, events = run(fresh(), worlds)
    assert (step.state["phase"], step.action, events) == (ACTING, ("remedy", HANG), ["out", "remedy"])
    step, events = run(
        step.state, [World((HANG,), proxies=LEFT), World(proxies=LEFT, done=""), World(proxies=LEFT)], start=1010
    )
    assert (step.state["phase"], step.action, events) == (PROVING, ("prove", None), [])
    step, events = run(step.state, [World(proxies=LEFT, proven="")], start=1016)
    assert (step.state["phase"], events, step.state["healed"]) == (IN, ["back"], 1)


@pytest.mark.parametrize(
    ("proxies", "why"),
    [
        ((), "no proxy has asked"),
        (({"state": "up", "up": 0, "all": 1},), "the last of its profile"),
        (({"state": "up", "up": 0, "all": 0},), "the last of its profile"),
        (({"state": "up", "up": 1, "all": 1}, {"state": "up", "up": 0, "all": 1}), "the last of its profile"),
        (({"state": "up", "up": 2, "all": 4},), "2 of 5 servers"),
    ],
)
def test_it_only_tells_when_it_may_be_missed(proxies, why):
    step, events = run(fresh(), [World((HANG,), proxies=proxies)] * 10)
    assert (step.state["phase"], step.action, events) == (IN, None, ["told"])
    assert why in step.state["note"]


@pytest.mark.parametrize(
    ("up", "of", "phase"), [(1, 1, OUT), (2, 2, OUT), (1, 2, IN), (3, 3, OUT), (2, 3, OUT), (1, 3, IN)]
)
def test_half_of_a_profile_may_be_out(up, of, phase):
    proxies = ({"state": "up", "up": up, "all": of},)
    assert run(fresh(), [World((HANG,), proxies=proxies)] * 3)[0].state["phase"] == phase


def test_one_that_may_go_when_it_is_the_last_heals_itself():
    step, events = run(fresh(), [World((HANG,))] * 4, Policy(when_last=True))
    assert (step.action, events) == (("remedy", HANG), ["out", "remedy"])


def test_two_that_hang_at_once_do_not_both_restart():
    nobody = ({"state": "down", "up": 0, "all": 1},)
    step, events = run(out(), [World((HANG,), proxies=nobody)] * 20)
    assert (step.state["phase"], step.action, events) == (OUT, None, [])
    assert "the last of its profile" in step.state["note"]


def test_calls_may_finish_where_they_can():
    held = dict(out(), rows={LOST.name: 2})
    busy = World((LOST,), proxies=LEFT, active=3)
    step, _ = run(held, [busy] * 5)
    assert (step.action, step.state["note"]) == (None, "lets 3 requests finish")
    assert run(held, [busy, World((LOST,), proxies=LEFT, active=0)])[0].action == ("remedy", LOST)
    assert run(held, [busy], start=1000 + POLICY.drain_s)[0].action == ("remedy", LOST), "calls that never end"


def test_a_proxy_that_never_lets_go_holds_nobody_up_for_ever():
    assert run(out(), [World((HANG,), proxies=OTHERS)])[0].action is None
    assert run(out(), [World((HANG,), proxies=OTHERS)], start=1000 + decide.LEFT_S)[0].action


def test_the_budget_ends_and_a_hand_is_asked_for():
    state, tried, events = out(), 0, []
    for now in range(1000, 1000 + 3000, 2):
        done = "it does not help" if state["phase"] == ACTING else None
        step = decide.decide(state, World((HANG,), proxies=LEFT, done=done), now, POLICY)
        state, tried = step.state, tried + bool(step.action)
        events += [name for name, _ in step.events]
    assert (state["phase"], tried, events.count("hand")) == (HAND, POLICY.tries, 1)
    assert "tried 3 times in an hour; waits for a hand" in state["note"]
    gaps = [later - one for one, later in itertools.pairwise(state["tries"])]
    assert gaps == [60, 120], "each try waits for twice as long"
    step = decide.decide(state, World((HANG,), proxies=LEFT), 1000 + 2 * 3600, POLICY)
    assert step.state["phase"] == OUT, "an hour later there is a budget again"


def test_nobody_is_killed_before_it_is_sure():
    step, events = run(fresh(), [World((HANG,), proxies=OTHERS)] * 2 + [World((HANG,), proxies=LEFT)])
    assert (step.action, step.state["note"], events) == (None, "makes sure", ["out"])
    step, events = run(step.state, [World(proxies=LEFT), World(proxies=LEFT, proven="")], start=1006)
    assert (step.state["phase"], events) == (IN, ["back"]), "it was only slow"


def test_what_is_not_safe_is_left_to_a_hand():
    step, events = run(fresh(), [World((XID,), proxies=OTHERS)] * 3)
    assert (step.state["phase"], events) == (HAND, ["out", "hand"])
    assert decide.reported(step.state) == "Xid 79; waits for a hand: reseat the card"
    assert run(fresh(), [World((XID,), proxies=LEFT)] * 2, Policy(unsafe=True))[0].action == ("remedy", XID)


def test_what_may_pass_is_waited_for():
    step, events = run(fresh(), [World((NO_ENGINE,), proxies=OTHERS)] * 10)
    assert (step.state["phase"], events) == (OUT, ["out"])
    assert run(step.state, [World((NO_ENGINE,), proxies=LEFT)], start=1200)[1] == ["hand"]
    step, _ = run(step.state, [World(proxies=LEFT), World(proxies=LEFT, proven="")])
    assert (step.state["phase"], step.state["healed"]) == (IN, 0)


@pytest.mark.parametrize("phase", [IN, OUT, HAND])
def test_who_works_on_the_node_is_left_alone(phase):
    state = dict(out(), phase=phase)
    worlds = [World((HANG,), frozen="dgctl is at work", proxies=LEFT)] * 10
    step, events = run(state, worlds)
    assert (step.state["phase"], step.action, events) == (phase, None, [])


def test_a_node_that_was_repaired_by_somebody_comes_back():
    step, _ = run(dict(out(), phase=HAND), [World(proxies=LEFT), World(proxies=LEFT, proven="")])
    assert step.state["phase"] == IN


def test_a_remedy_that_proves_nothing_has_failed():
    proving = dict(out(), phase=PROVING, until=1010)
    step, events = run(proving, [World(proxies=LEFT, proven="HTTP 500")] * 6)
    assert (step.state["phase"], events) == (OUT, ["failed"])
    assert "HTTP 500" in step.state["note"]


@pytest.mark.parametrize(
    "torn",
    [None, [], {}, {"phase": "in"}, "in", dict(fresh(), phase="gone"), dict(fresh(), tries=["x"]), dict(fresh(), since=None),
     dict(fresh(), since=float("nan")), dict(fresh(), again=True)],
)  # fmt: skip
def test_a_torn_state_serves(torn):
    assert decide.believed(torn) == fresh()


def test_a_state_outlives_a_restart_and_what_ran_does_not():
    state = out(tries=[990.5])
    assert decide.believed(json.loads(json.dumps(state))) == dict(state, rows={})
    assert decide.believed(dict(state, phase=ACTING))["phase"] == OUT
