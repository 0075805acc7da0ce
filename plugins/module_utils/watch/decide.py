"""What the watchdog does next: a pure function of its state, of what is seen now, and of what it may do.

A node is `in`; on a finding that means "must not serve" it goes `out` (its proxies hear that and send nothing new), lets calls
finish, is `acting` (the finding's remedy runs), then `proving` (nothing is found and a request is served), then `in` again.
`hand`: it is out, and only somebody else can help. Whatever cannot be known keeps it as it is: it tells, and serves.
"""

import collections
import math

IN, OUT, ACTING, PROVING, HAND = "in", "out", "acting", "proving", "hand"
PHASES = (IN, OUT, ACTING, PROVING, HAND)
HOUR_S = 3600
PATIENCE_S = 120  # for what may pass without a remedy
SURE = 2  # so many times the rounds before calls are cut off
LEFT_S = 20  # in which proxies that were asked to leave this node alone do so

# name: of the finding, by which it is known again; seen: in words; remedy: what to do about it, "" for nothing; rounds: how
# often in a row it must be seen; finishes: whether calls still end well; safe: whether the remedy needs no permission.
Finding = collections.namedtuple("Finding", "name seen remedy rounds finishes safe fix")
Finding.__new__.__defaults__ = ("", 1, True, True, "")

# findings: of this round; frozen: who works on this node, "" for nobody; proxies: those that asked lately, each {state, up, all}:
# what it does with this node, and how many of the other servers of its profile serve; active: requests now, None for unknown;
# done: how the remedy ended ("" well, None not yet); proven: how the proof ended (the same).
World = collections.namedtuple("World", "findings frozen proxies active done proven")
World.__new__.__defaults__ = ((), "", (), None, None, None)

Policy = collections.namedtuple("Policy", "tries backoff_s drain_s prove_s share when_last unsafe")
Policy.__new__.__defaults__ = (3, 60, 300, 600, 0.5, False, False)

Step = collections.namedtuple("Step", "state action events")


def fresh():
    """The state of a node of which nothing is known: it serves."""
    return {
        "phase": IN,
        "reason": "",
        "since": 0,
        "note": "",
        "rows": {},
        "tries": [],
        "again": 0,
        "until": 0,
        "healed": 0,
    }


def believed(state):
    """A state that was read from a file; a fresh one for what is none."""
    start = fresh()
    if not isinstance(state, dict) or state.get("phase") not in PHASES:
        return start
    moments = [state.get(key) for key, value in start.items() if value == 0]
    others = [isinstance(state.get(key), type(value)) for key, value in start.items() if value != 0]
    if not all(others) or not all(map(_is_moment, [*moments, *state["tries"]])):
        return start
    found = {key: state[key] for key in start}
    # What ran is over with the program that ran it.
    return dict(found, phase=OUT, rows={}) if found["phase"] in (ACTING, PROVING) else dict(found, rows={})


def _is_moment(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_out(state):
    return state["phase"] != IN


def decide(state, world, now, policy):
    """The step that follows: (state, action, events). action: ("remedy", finding), ("prove", None) or None.

    now: seconds of a clock that nobody sets.
    """
    rows = {one.name: state["rows"].get(one.name, 0) + 1 for one in world.findings}
    state = dict(state, rows=rows, tries=[at for at in state["tries"] if now - HOUR_S < at <= now])
    grave = [one for one in world.findings if rows[one.name] >= one.rounds]
    return PHASE[state["phase"]](state, world, now, policy, grave)


def _in(state, world, now, policy, grave):
    if not grave:
        return Step(dict(state, note=""), None, [])
    if world.frozen:
        return Step(_noted(state, f"{grave[0].seen}; left alone: {world.frozen}"), None, [])
    why = stays(world.proxies, policy)
    if why:
        note = f"{grave[0].seen}; it goes on serving: {why}"
        return Step(_noted(state, note), None, [] if state["note"] == note else [("told", note)])
    out = dict(state, phase=OUT, reason=grave[0].seen, since=now, note="")
    return Step(out, None, [("out", grave[0].seen)])


def _out(state, world, now, policy, grave):
    if not world.findings:
        return _prove(state, now, policy)
    if world.frozen or not grave:
        return Step(_noted(state, f"left alone: {world.frozen}" if world.frozen else state["note"]), None, [])
    one = grave[0]
    state = dict(state, reason=one.seen)
    if not one.remedy or not (one.safe or policy.unsafe):
        late = now - state["since"] > PATIENCE_S or one.remedy
        return _hand(state, one) if late else Step(_noted(state, "waits for it to pass"), None, [])
    if len(state["tries"]) >= policy.tries:
        return _hand(state, one, f"tried {_times(len(state['tries']))} in an hour; ")
    wait = _waits(state, world, now, policy, one)
    if wait:
        return Step(_noted(state, wait), None, [])
    tries = [*state["tries"], now]
    acting = dict(
        state,
        phase=ACTING,
        tries=tries,
        again=now + policy.backoff_s * 2 ** (len(tries) - 1),
        note=f"tries: {one.remedy}",
    )
    return Step(acting, ("remedy", one), [("remedy", f"{one.remedy}, because {one.seen}")])


def _waits(state, world, now, policy, one):
    """What is to be waited for before a remedy; "" for nothing."""
    why = alone(world.proxies, policy)
    if why:
        return f"does nothing: {why}"
    if now < state["again"]:
        return f"tries again in {math.ceil(state['again'] - now)} s"
    if any(proxy["state"] == "up" for proxy in world.proxies) and now - state["since"] < LEFT_S:
        return "waits until the proxies send it nothing"
    if not one.finishes and state["rows"][one.name] < SURE * one.rounds:
        return "makes sure"
    if one.finishes and world.active != 0 and now - state["since"] < policy.drain_s:
        return f"lets {'its' if world.active is None else world.active} requests finish"
    return ""


def _acting(state, world, now, policy, grave):
    if world.done is None:
        return Step(state, None, [])
    if world.done:
        return Step(dict(state, phase=OUT, note=world.done), None, [("failed", world.done)])
    return Step(dict(state, phase=PROVING, until=now + policy.prove_s, note="proves that it works"), None, [])


def _proving(state, world, now, policy, grave):
    if world.proven == "" and not world.findings:
        healed = state["healed"] + bool(state["tries"])
        back = dict(state, phase=IN, note="", reason="", since=0, healed=healed, rows={})
        return Step(back, None, [("back", f"after {math.ceil(now - state['since'])} s: {state['reason']}")])
    if now >= state["until"]:
        why = world.findings[0].seen if world.findings else world.proven or "no proof came"
        return Step(dict(state, phase=OUT, note=f"not healed: {why}"), None, [("failed", f"not healed: {why}")])
    note = f"proves that it works: {world.proven}" if world.proven else state["note"]
    return Step(dict(state, note=note), None if world.findings else ("prove", None), [])


def _held(state, world, now, policy, grave):
    if not world.findings:
        return _prove(state, now, policy)
    may = [one for one in grave if one.remedy and (one.safe or policy.unsafe)]
    if may and len(state["tries"]) < policy.tries and not world.frozen:
        return Step(dict(state, phase=OUT, note=""), None, [])
    return Step(state, None, [])


def _prove(state, now, policy):
    return Step(
        dict(state, phase=PROVING, until=now + policy.prove_s, note="proves that it works"), ("prove", None), []
    )


def _hand(state, one, tried=""):
    note = f"{tried}waits for a hand: {one.fix or 'dgctl doctor names the cause'}"
    return Step(dict(state, phase=HAND, note=note), None, [("hand", f"{one.seen}; {note}")])


def _noted(state, note):
    return dict(state, note=note)


def _times(number):
    return "once" if number == 1 else f"{number} times"


PHASE = {IN: _in, OUT: _out, ACTING: _acting, PROVING: _proving, HAND: _held}


def alone(proxies, policy):
    """Why this node may not be missed; "" where others serve, or where it may go nevertheless."""
    if policy.when_last:
        return ""
    if not proxies:
        return "no proxy has asked lately, so nobody else may be serving"
    return "it is the last of its profile that serves" if any(proxy["up"] < 1 for proxy in proxies) else ""


def stays(proxies, policy):
    """Why it must not take itself out; "" where it may: others serve, and not too many are out already."""
    why = alone(proxies, policy)
    for proxy in proxies if not (why or policy.when_last) else ():
        out, servers = proxy["all"] - proxy["up"], proxy["all"] + 1
        if out + 1 > max(1, math.floor(policy.share * servers)):
            return f"{out} of {servers} servers of its profile are out already"
    return why


def reported(state):
    """What an operator is told of a node that is out; "" for one that is in."""
    return f"{state['reason']}; {state['note']}".strip("; ") if is_out(state) else ""
