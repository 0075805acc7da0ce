"""What it costs to add a node to few and to many."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from bench import labs, records, tree
from bench.statistics import Verdict, medians
from bench.world import World

if TYPE_CHECKING:
    from bench.parts.fleet import Fleet


TIMES = 3  # a node is added to so many, to one more, and so on


def add(world: World, fleet: Fleet, present: int) -> dict[str, Any]:
    """Adds blank nodes, one by one, to so many that are right, without load: the costs, and all tasks that ran anywhere."""
    costs, tasks = [], []
    for number in range(present, present + min(TIMES, world.repeat)):
        world.say(f"fleet: adding a node to {number}")
        fleet.grow(number + 1)
        labs.settle()
        tree.cool()
        costs.append(fleet.deployment.provision()[0])
        tasks.append(sum(records.tasks_of_newest(fleet.deployment.folder).values()))
    return {**medians(costs), "tasks": median(tasks)}


def verdicts(growth: dict[int, dict[str, Any]], limit: float) -> list[Verdict]:
    """Many beside few; the cost shall follow the change, not the fleet."""
    few, many = min(growth), max(growth)
    return [
        Verdict(
            "fleet", f"{what} to add a node: to {many} / to {few}", growth[many][number] / growth[few][number], limit
        )
        for number, what in (("wall_s", "wall"), ("tasks", "tasks"))
    ]
