"""One variable changed that one role uses: dgctl's whole run beside that role's own tasks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from bench import records, tree
from bench.deployment import Deployment
from bench.measure import BenchError
from bench.parts.converge import without_verify
from bench.parts.right import ready, settled
from bench.statistics import Verdict, medians
from bench.world import CACHE, World

TIMES = 1.3
_AGES = count(1_000_001)
_FORMATS = count()


def _age() -> dict[str, Any]:
    return {"nginx_proxy_hsts_max_age_s": next(_AGES)}


def _format() -> dict[str, Any]:
    return {"deepgram_log_format": ("json", "compact", "full")[next(_FORMATS) % 3]}


CASES = {"nginx_proxy": _age, "deepgram": _format}


def nginx_proxy(world: World) -> None:
    _measure(world, "nginx_proxy")


def deepgram(world: World) -> None:
    _measure(world, "deepgram")


def _measure(world: World, role: str) -> None:
    deployment = ready(world)
    try:
        result = _case(world, deployment, role)
    finally:
        deployment.change()
    world.measured.setdefault("one_variable", {})[role] = result
    world.verdicts += verdicts(role, result)


def _case(world: World, deployment: Deployment, role: str) -> dict[str, Any]:
    """dgctl's runs first: a run of plain Ansible leaves records that dgctl rightly distrusts."""
    dgctl, alone, tasks, own = [], [], [], []
    for number in _rounds(world, role, "dgctl"):
        deployment.change(**CASES[role]())
        tree.cool()
        # 8: a verification that this machine was too busy for; its time is not counted
        cost, document = deployment.dgctl("provision", "--yes", "--batch", "100%", allowed=(0, 8))
        _require_changed(document, number)
        dgctl.append(without_verify(cost))
        tasks.append(sum(records.tasks_of_newest(deployment.folder).values()))
        world.where(f"one_variable {role}", timings=document.get("timings"))
    playbook = _playbook(role)
    for _ in _rounds(world, role, "that role alone"):
        deployment.change(**CASES[role]())
        tree.cool()
        cost = deployment.ansible(playbook)
        alone.append(cost)
        own.append(sum(records.recap(cost.stdout).values()))
    world.say(f"one variable of {role}: making the servers right again")
    settled(world, deployment)
    return {
        "tasks": {"dgctl": max(tasks), "role_alone": max(own)},
        "dgctl_without_verify": medians(dgctl),
        "role_alone": medians(alone),
    }


def _rounds(world: World, role: str, what: str) -> Iterator[int]:
    for number in range(world.repeat):
        world.say(f"one variable of {role} {number + 1}/{world.repeat}: {what}")
        yield number


def _require_changed(document: dict[str, Any], number: int) -> None:
    # Not by its state: one whose verification this machine was too busy for has failed.
    same = [host for host, one in document["hosts"].items() if not one["changed"]]
    if same:
        raise BenchError(f"round {number + 1}: the variable changed nothing on {', '.join(same)}")


def _playbook(role: str) -> Path:
    path = CACHE / f"only_{role}.yml"
    path.write_text(yaml.safe_dump([{"hosts": "node", "become": True, "gather_facts": False, "roles": [role]}]))
    return path


def verdicts(role: str, result: dict[str, Any]) -> list[Verdict]:
    tasks = result["tasks"]["dgctl"] / result["tasks"]["role_alone"]
    wall = result["dgctl_without_verify"]["wall_s"] / result["role_alone"]["wall_s"]
    return [
        Verdict("one_variable", f"{role}, tasks: dgctl / that role alone", tasks, TIMES),
        Verdict("one_variable", f"{role}, wall: dgctl without verify / that role alone", wall, TIMES),
    ]
