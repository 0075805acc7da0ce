"""`dgctl plan` for hundreds and thousands of hosts: linear, cheap for each, and no memory hog."""

from __future__ import annotations

from typing import Any

from bench import labs, many, tree
from bench.deployment import PLANNED, Deployment
from bench.measure import BenchError
from bench.parts.right import settled
from bench.statistics import Verdict, growth, medians
from bench.world import CACHE, World

CPU_MS, DEARER, FLAT = 100, 1.25, 1.5
SERVERS = 4  # enough: an sshd takes ten unfinished logins at a time


def measure(world: World) -> None:
    world.say(f"making at least {SERVERS} servers that stand for {max(world.endpoints)}")
    base = labs.up(labs.RIGHT, max(SERVERS, len(labs.names(labs.RIGHT))))
    settled(world, base)
    world.note(
        "plan_1000: each server holds the records of one name, so all its other names are found distrusted: the plan "
        "is as long as a plan can be"
    )
    result: dict[str, Any] = {}
    with many.reachable(base.endpoints()) as ranges:
        for desired in world.endpoints:
            deployment = many.deployment(base, many.spread(ranges, desired), CACHE / "many")
            result[str(desired)] = _plans(world, deployment, desired)
    tree.cool()
    world.measured["plan_1000"] = result
    world.verdicts += verdicts(result)


def _plans(world: World, deployment: Deployment, desired: int) -> dict[str, Any]:
    costs = []
    for number in range(world.repeat):
        world.say(f"plan {number + 1}/{world.repeat}: {desired} endpoints")
        tree.cool()
        cost, document = deployment.dgctl("plan", allowed=PLANNED)
        if len(document["hosts"]) != desired or document["errors"]:
            raise BenchError(
                f"plan knows {len(document['hosts'])} of {desired} hosts; {str(document['errors'])[:1000]}"
            )
        costs.append(cost)
    found = medians(costs)
    return {**found, "cpu_ms_a_host": round(found["cpu_s"] * 1000 / desired, 2)}


def verdicts(result: dict[str, Any]) -> list[Verdict]:
    sizes = sorted(int(size) for size in result)
    few, most = sizes[0], sizes[-1]

    def of(size: int, number: str) -> float:
        return result[str(size)][number]

    cpu = growth((size, of(size, "cpu_s")) for size in sizes)
    wall = growth((size, of(size, "wall_s")) for size in sizes)
    return [
        Verdict("plan_1000", f"controller CPU a host, {most} hosts", of(most, "cpu_ms_a_host"), CPU_MS, unit="ms"),
        Verdict("plan_1000", f"CPU a host: {most} hosts / {few} hosts", cpu, DEARER),
        Verdict("plan_1000", f"wall a host: {most} hosts / {few} hosts", wall, DEARER),
        Verdict("plan_1000", f"memory: {most} hosts / {few} hosts", of(most, "peak_mb") / of(few, "peak_mb"), FLAT),
        Verdict("plan_1000", f"controller memory, {most} hosts", of(most, "peak_mb"), unit="MB"),
    ]
