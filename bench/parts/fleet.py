"""Several nodes behind one proxy, changed under calls: what each operation loses, and how long it takes."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

from bench import labs
from bench.deployment import Deployment
from bench.load import beside
from bench.measure import BenchError
from bench.parts import fleet_growth, fleet_latency
from bench.parts.fleet_operations import OPERATIONS, Operation, knows
from bench.statistics import Verdict
from bench.world import CACHE, World

NODES = 4
STREAM_S = 20  # how long a stream is, and so about how long a drain is
BEFORE = "release-260714"  # what the fleet begins with, so that there is something to upgrade to
ROOM = 60  # requests at a time on a node: what is lost shall not be lost because few nodes are too few
ADDED_MS, GROWTH = 2, 1.2


@dataclass(frozen=True)
class Fleet:
    """The lab's servers by group, and the deployment made of them."""

    lab: str
    deployment: Deployment
    settings: dict[str, Any] = field(default_factory=lambda: {"deepgram_engine_max_active_requests": ROOM})

    def servers(self, group: str) -> list[dict[str, Any]]:
        return [server for server in labs.listed(self.lab) if server["group"] == group]

    @property
    def front(self) -> dict[str, Any]:
        """Where callers send their requests."""
        return (self.servers("proxy") or self.servers("node"))[0]

    def change(self, **variables: Any) -> None:
        """Sets variables of all servers, beside those that were set before."""
        self.settings.update(variables)
        self.deployment.change(**self.settings)

    def grow(self, nodes: int) -> None:
        """Starts servers until there are so many; the new ones are blank, and lines in the inventory."""
        labs.up(self.lab, nodes, "--proxies", "1")


def latency(world: World) -> None:
    """What the proxy adds to a small request, where there are several nodes."""
    found = fleet_latency.measure(world, begin(world, 2))
    world.measured["fleet_latency"] = found
    added = found["proxy_ms"] - found["api_ms"]
    world.verdicts.append(Verdict("fleet", "added by the proxy to a small request", added, ADDED_MS, unit="ms"))


def operations(world: World) -> None:
    """What each operation loses of the calls that are on the fleet."""
    fleet, found = begin(world, NODES), world.measured.setdefault("fleet_operations", {})
    failed = [operation.name for operation in OPERATIONS if not measured(world, fleet, operation, found)]
    if failed:
        raise BenchError(f"not done: {', '.join(failed)}")


def growth(world: World) -> None:
    """What it costs to add a node to one, and to many. The last part of the fleet: it leaves many servers."""
    labs.down(world.fleet_lab)
    found = world.measured["fleet_growth"] = {}
    fleet = begin(world, 1)
    for present in (1, world.fleet_many):
        made(world, fleet, present)
        found[present] = fleet_growth.add(world, fleet, present)
    world.verdicts += fleet_growth.verdicts(found, GROWTH)


def measured(world: World, fleet: Fleet, operation: Operation, found: dict[str, Any]) -> bool:
    """False when the operation itself failed; the others are measured all the same."""
    if operation.verb and not knows(operation.verb):
        world.note(f"fleet: dgctl knows no `{operation.verb}` yet: {operation.name} is not measured")
        return True
    try:
        found[operation.name] = under_load(world, fleet, operation)
    except BenchError as error:
        world.note(f"fleet, {operation.name}: {error}")
        return False
    world.verdicts += judged(operation, found[operation.name])
    return True


def begin(world: World, nodes: int) -> Fleet:
    """At least so many nodes behind a proxy, with the release that is upgraded later; what an earlier part left is used."""
    options = ("--proxies", "1", "--release", BEFORE)
    present = [server for server in labs.listed(world.fleet_lab) if server["group"] == "node"]
    fleet = Fleet(world.fleet_lab, labs.up(world.fleet_lab, max(nodes, len(present)), *options))
    fleet.change()
    made(world, fleet, max(nodes, len(present)))
    return fleet


def made(world: World, fleet: Fleet, nodes: int) -> None:
    """So many nodes, all right; a machine that is too busy to answer in time gets a second chance."""
    world.say(f"fleet: {nodes} nodes behind a proxy")
    fleet.grow(nodes)
    try:
        fleet.deployment.provision()
    except BenchError as error:
        world.note(f"fleet: provisioning {nodes} nodes, again: {error}")
        fleet.deployment.provision()


def under_load(world: World, fleet: Fleet, operation: Operation) -> dict[str, Any]:
    """One operation beside the load; every stream that lived at its end is waited for."""
    world.say(f"fleet: {operation.name}, under load")
    operation.prepare(fleet)
    options = ["--streams", str(world.streams), "--files", str(world.files), "--stream-seconds", str(STREAM_S)]
    try:
        with beside.load(CACHE / "load", fleet.front["name"], fleet.front["address"], *options) as load:
            started = time.monotonic()
            excused = operation.run(fleet)
            seconds = time.monotonic() - started
            time.sleep(STREAM_S + 5)
            document = load.stop()
    except (beside.NoLoad, subprocess.CalledProcessError) as error:
        raise BenchError(f"{operation.name}: {error}") from error
    if lost := beside.lost(document):
        world.note(f"fleet, {operation.name}: {lost}")
    document["failures"] = document["failures"][:50]
    return {"seconds": round(seconds, 1), "excused_streams": excused, **document}


def judged(operation: Operation, one: dict[str, Any]) -> list[Verdict]:
    """Nothing may be lost but the streams on a node that was killed."""
    broken = max(0, one["streams"]["broken"] - one["excused_streams"])
    return [
        Verdict(
            "fleet", f"{operation.name}: failed files of {one['files']['sent']}", one["files"]["failed"], 0, unit=""
        ),
        Verdict("fleet", f"{operation.name}: broken streams of {one['streams']['started']}", broken, 0, unit=""),
        Verdict("fleet", f"{operation.name}: time", one["seconds"], unit="s"),
    ]
