"""Servers that are right: what it costs to find that out, with dgctl and with others."""

from __future__ import annotations

from statistics import median
from typing import Any

from bench import labs, records, tree
from bench.deployment import Deployment
from bench.measure import BenchError, Cost
from bench.peers import pyinfra_peer
from bench.peers.fan import LOOK, Fan
from bench.statistics import Verdict, medians
from bench.world import CACHE, PROJECT, World

ANSIBLE_TIMES, PYINFRA_SHARE, SSH_TIMES, MEMORY_MB = 40, 1 / 3, 3, 400
TRIES = 3


def measure(world: World) -> None:
    deployment = ready(world)
    costs: dict[str, list[Cost]] = {}
    timings: list[dict[str, Any]] = []
    peer = pyinfra_peer.install(world), pyinfra_peer.prepare(deployment)
    for number in range(world.repeat):
        world.say(f"right {number + 1}/{world.repeat}: dgctl, cold and warm, on {world.hosts} hosts")
        _dgctl(world, deployment, costs, timings)
        world.say(f"right {number + 1}/{world.repeat}: plain SSH, cold and warm")
        _ssh(world, deployment, costs)
        world.say(f"right {number + 1}/{world.repeat}: pyinfra")
        tree.cool()
        costs.setdefault("pyinfra", []).append(pyinfra_peer.ask(*peer, world.parallel))
    for number in range(world.repeat_slow):
        world.say(f"right {number + 1}/{world.repeat_slow}: ansible-playbook, everything")
        tree.cool()
        costs.setdefault("ansible_playbook", []).append(deployment.ansible(PROJECT / "playbooks/provision.yml"))
    tree.cool()
    world.measured["right"] = {name: medians(runs) for name, runs in costs.items()}
    if timings:
        world.where("right", timings=timings, connect=connecting(timings))
    world.verdicts += verdicts(world.measured["right"])


def ready(world: World) -> Deployment:
    """The lab with as many servers as asked for, all right by dgctl's own judgement."""
    world.say(f"making {world.hosts} servers right")
    deployment = labs.up(labs.RIGHT, world.hosts)
    deployment.first(world.hosts)
    settled(world, deployment)
    labs.settle()
    return deployment


def settled(world: World, deployment: Deployment) -> None:
    """Provisions until all is right and verified: many servers at once on one machine may answer too late."""
    for _ in range(TRIES - 1):
        try:
            deployment.provision()
            return
        except BenchError as error:
            world.note(f"provisioning {len(deployment.endpoints())} servers, again: {error}")
    deployment.provision()


def _dgctl(world: World, deployment: Deployment, costs: dict[str, list[Cost]], timings: list[dict[str, Any]]) -> None:
    tree.cool()
    for name in ("dgctl_cold", "dgctl_warm"):
        cost, document = deployment.provision()
        changed = [host for host, one in document["hosts"].items() if one["state"] != "ok"]
        if changed:
            raise BenchError(f"not right: dgctl changed {', '.join(changed)}; see {document.get('log')}")
        costs.setdefault(name, []).append(cost)
        if executed := sum(records.tasks_of_newest(deployment.folder).values()):
            world.note(f"right: dgctl executed {executed} tasks on servers that are right")
        if document.get("timings"):
            timings.append({"connections": name.removeprefix("dgctl_"), **document["timings"]})


def _ssh(world: World, deployment: Deployment, costs: dict[str, list[Cost]]) -> None:
    for name, retained in (("cold", False), ("warm", True)):
        tree.cool()
        fan = Fan(deployment, world.parallel, CACHE / "ssh", retained)
        if retained:
            fan.run(None)
        costs.setdefault(f"ssh_{name}", []).append(fan.run(LOOK))
        fan.check(world.hosts)
        costs.setdefault(f"ssh_true_{name}", []).append(fan.run(None))


def connecting(timings: list[dict[str, Any]]) -> float:
    """Seconds of the look that went into logging in: what cold looks take beyond warm ones."""

    def middle(state: str) -> float:
        return median(one["look"] for one in timings if one["connections"] == state)

    return round(middle("cold") - middle("warm"), 3)


def verdicts(measured: dict[str, Any]) -> list[Verdict]:
    """Ratios within this one run. pyinfra has no kept connections, so its peer is the cold run."""

    def ratio(above: str, below: str, number: str) -> float:
        return measured[above][number] / max(measured[below][number], 1e-6)

    found = []
    for number, word in (("wall_s", "wall"), ("cpu_s", "controller CPU")):
        if "ansible_playbook" in measured:
            times = ratio("ansible_playbook", "dgctl_cold", number)
            found.append(Verdict("right", f"{word}: ansible-playbook / dgctl", times, ANSIBLE_TIMES, at_least=True))
        share = ratio("dgctl_cold", "pyinfra", number)
        found.append(Verdict("right", f"{word}: dgctl / pyinfra", share, round(PYINFRA_SHARE, 3)))
    for state in ("cold", "warm"):
        wall = ratio(f"dgctl_{state}", f"ssh_{state}", "wall_s")
        cpu = ratio(f"dgctl_{state}", f"ssh_{state}", "cpu_s")
        found.append(Verdict("right", f"wall: dgctl / SSH with one script, {state}", wall, SSH_TIMES))
        found.append(Verdict("right", f"controller CPU: dgctl / SSH with one script, {state}", cpu))
    peak = max(measured["dgctl_cold"]["peak_mb"], measured["dgctl_warm"]["peak_mb"])
    return [*found, Verdict("right", "controller memory of dgctl", peak, MEMORY_MB, unit="MB")]
