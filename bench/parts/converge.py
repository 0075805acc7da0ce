"""A blank server made right: by dgctl, and by a good script over one SSH connection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench import labs, records, tree
from bench.deployment import Deployment, problems
from bench.measure import BenchError, Cost
from bench.peers import by_hand
from bench.statistics import Verdict, medians
from bench.world import World

TASKS, TIMES = 60, 1.3


def measure(world: World) -> None:
    dgctl, hand, tasks, phases = [], [], [], []
    known = None
    for number in range(world.repeat):
        world.say(f"converge {number + 1}/{world.repeat}: dgctl on a blank server")
        deployment = labs.blank()
        labs.settle()
        cost, document = deployment.provision()
        dgctl.append(without_verify(cost))
        tasks.append(max(records.tasks_of_newest(deployment.folder).values()))
        phases.append(records.phases(cost.lines))
        world.where("converge", timings=document.get("timings"))
        known = known or by_hand.learn(labs.names(labs.BLANK)[0], deployment)
        tree.cool()
        world.say(f"converge {number + 1}/{world.repeat}: by hand on a blank server")
        deployment = labs.blank()
        labs.settle()
        hand.append(by_hand.converge(deployment, known))
        check(deployment)
        tree.cool()
    labs.down(labs.BLANK)
    result: dict[str, Any] = {"tasks": max(tasks), "phases": phases[-1]}
    result |= {"dgctl_without_verify": medians(dgctl), "by_hand": medians(hand)}
    world.measured["converge"] = result
    ratio = result["dgctl_without_verify"]["wall_s"] / result["by_hand"]["wall_s"]
    world.verdicts += [
        Verdict("converge", "tasks executed on a blank server", max(tasks), TASKS, unit=""),
        Verdict("converge", "wall: dgctl without verify / script by hand", ratio, TIMES),
    ]


def without_verify(cost: Cost) -> Cost:
    """The same run as if it had ended when its verification began. CPU and memory stay those of the whole run."""
    return replace(cost, wall_s=records.verify_started(cost.lines, cost.wall_s))


def check(deployment: Deployment) -> None:
    """The script has done the same only if dgctl's own verification passes."""
    _, document = deployment.dgctl("verify", allowed=(0, 8))
    if document["exit_code"] or not document["checks"]:
        raise BenchError(f"the script by hand has not made the server right: {problems(document)}")
