"""What it costs to add a node to few and to many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import labs, records, tree
from bench.statistics import Verdict, medians
from bench.world import World

if TYPE_CHECKING:
    from bench.fleet import Fleet


def add(world: World, fleet: Fleet, present: int) -> dict[str, Any]:
    """Adds a blank node to so many that are right, without load: its cost, and all tasks that ran anywhere."""
    world.say(f"fleet: adding a node to {present}")
    fleet.grow(present + 1)
    labs.settle()
    tree.cool()
    cost, _ = fleet.deployment.provision()
    return {**medians([cost]), "tasks": sum(records.tasks_of_newest(fleet.deployment.folder).values())}


def verdicts(growth: dict[int, dict[str, Any]], limit: float) -> list[Verdict]:
    """Many beside few; the cost shall follow the change, not the fleet."""
    few, many = min(growth), max(growth)
    return [
        Verdict(
            "fleet", f"{what} to add a node: to {many} / to {few}", growth[many][number] / growth[few][number], limit
        )
        for number, what in (("wall_s", "wall"), ("tasks", "tasks"))
    ]
