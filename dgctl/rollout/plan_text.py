"""A plan as people read it: servers with the same plan together, a line a reason."""

from __future__ import annotations

import difflib
from typing import Any

from dgctl.base.words import count, listed
from dgctl.output.progress import clock
from dgctl.plan.plan import HostPlan, Plan
from dgctl.plan.reasons import VARIABLE, Kind, Reason
from dgctl.rollout.rollout import Rollout

FEW = 6  # reasons of a role that are shown; -v shows all


def lines(plan: Plan, all_reasons: bool = False) -> list[str]:
    """The plan, changing servers first."""
    shared: dict[str, list[str]] = {}
    for name in plan.changing:
        shared.setdefault("\n".join(_host(plan.hosts[name], all_reasons)), []).append(name)
    found = [f"{listed(hosts)}: {text}" for text, hosts in shared.items()]
    right = [name for name, host in plan.hosts.items() if not host.steps and not host.problem]
    unverified = plan.unverified
    if verified := [name for name in right if name not in unverified]:
        found.append(f"{listed(verified)}: in sync")
    if unverified:
        found.append(f"{listed(unverified)}: in sync, and to be verified: no check has passed since the last change")
    return [line for text in found for line in text.splitlines()]


def order(rollout: Rollout) -> list[str]:
    """In which order servers are changed, nothing where it is all at once; and what a person should know of the others."""
    return [*_order(rollout), *notes(rollout)]


def notes(rollout: Rollout) -> list[str]:
    """What the inventory or --limit leave out."""
    found = []
    if rollout.missing:
        found.append(
            f"{listed(rollout.missing)}: no longer in the inventory. The proxies stop sending requests there; "
            "what runs there runs on until somebody stops it"
        )
    if rollout.unheard:
        found.append(f"{listed(rollout.unheard)}: no proxy hears of it, because --limit leaves all of them out")
    return found


def _order(rollout: Rollout) -> list[str]:
    if rollout.simple:
        return []
    found = [f"at once: {listed(rollout.build)}"] if rollout.build else []
    found += [f"proxies: {listed(rollout.proxies)}"] if rollout.proxies else []
    found += [f"undrained when verified: {listed(rollout.waiting)}"] if rollout.waiting else []
    for batch in rollout.batches:
        found.append(batch.name + batch.out)
    return ["order:", *(f"  {number}. {text}" for number, text in enumerate(found, 1))]


def _host(host: HostPlan, all_reasons: bool) -> list[str]:
    facts = [f"{count(len(host.steps), 'role')} to run"]
    if host.restarts:
        facts.append(f"restarts {' and '.join(host.restarts)}{_calls(host.busy)}")
    facts.append(_reboot(host))
    facts.append(f"about {clock(host.seconds)}" if host.seconds is not None else "time not known yet")
    width = max(len(name) for name in host.roles)
    found = ["; ".join(facts)]
    for step in host.steps:
        shown = step.reasons if all_reasons else step.reasons[:FEW]
        texts = [_reason(reason) for reason in shown]
        if len(shown) < len(step.reasons):
            texts.append(f"and {len(step.reasons) - len(shown)} more (-v shows them)")
        found += [f"  {step.role if n == 0 else '':{width}}  {text}" for n, text in enumerate(texts)]
    return found


def reboots(plan: Plan) -> str:
    """How many servers reboot, for a question: ", of which 2 may reboot and 1 will"; nothing for none."""
    may = [host for host in plan.hosts.values() if host.reboot and not host.keepers]
    will = [host for host in plan.hosts.values() if host.reboot and host.keepers]
    if not may:
        return f", of which {len(will)} will reboot" if will else ""
    return f", of which {len(may)} may reboot" + (f" and {len(will)} will" if will else "")


def _reboot(host: HostPlan) -> str:
    if not host.keepers:
        return "may reboot" if host.reboot else "no reboot"
    who = f"{listed(host.keepers)} {'uses' if len(host.keepers) == 1 else 'use'} the GPU"
    return f"reboots, because {who}" if host.reboot else f"no reboot, so end this first: {who}"


def _calls(busy: int | None) -> str:
    return f", once {count(busy, 'request')} of now {'is' if busy == 1 else 'are'} done" if busy else ""


def _reason(reason: Reason) -> str:
    if reason.kind == Kind.NEW:
        return "never ran here"
    if reason.kind == Kind.FOLLOWS:
        return f"follows {reason.subject}"
    if reason.kind == Kind.ASKED:
        return "is in sync; runs because of --full"
    if reason.kind in (Kind.UNFINISHED, Kind.DISTRUSTED):
        return reason.subject
    became = f"{reason.before} -> {reason.now}" if reason.variable and reason.before else reason.now
    return f"{reason.subject.removeprefix(VARIABLE)}: {became}"


def diffs(found: list[dict[str, str]]) -> list[str]:
    """What would change in files, as a person reads it."""
    return [line for diff in found for line in ["", f"{diff['host']}: {diff['task']}", *diff["text"].splitlines()]]


def diffs_of(result: dict[str, Any]) -> list[str]:
    """The unified diffs that one task's result holds; nothing where it gives none."""
    found = []
    for item in [result, *(result.get("results") or [])]:
        given = item.get("diff") or [] if isinstance(item, dict) else []
        found += [_unified(diff) for diff in (given if isinstance(given, list) else [given])]
    return [text for text in found if text]


def _unified(diff: dict[str, Any]) -> str:
    if diff.get("prepared"):
        return str(diff["prepared"])
    before, after = (_text(diff.get(side)) for side in ("before", "after"))
    headers = (str(diff.get(f"{side}_header") or side) for side in ("before", "after"))
    return "".join(difflib.unified_diff(before, after, *headers)) if before != after else ""


def _text(side: Any) -> list[str]:
    text = side if isinstance(side, str) else "" if side is None else str(side)
    return [line + "\n" for line in text.splitlines()]
