"""bin/bench: which parts, how often, where the numbers go."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench import labs, machine, report, tree
from bench.measure import BenchError
from bench.parts import accuracy, converge, fleet, one_variable, plan_many, right, validate_many
from bench.world import PROJECT, World
from dgctl.plan import look

# What needs few servers comes before what starts many, which then keep the machine busy.
PARTS = {
    "validate": validate_many.measure,
    "accuracy": accuracy.measure,
    "converge": converge.measure,
    "fleet_latency": fleet.latency,
    "fleet_operations": fleet.operations,
    "fleet_growth": fleet.growth,
    "plan_1000": plan_many.measure,
    "right": right.measure,
    "one_variable_nginx_proxy": one_variable.nginx_proxy,
    "one_variable_deepgram": one_variable.deepgram,
}

WITHOUT_LAB = {"validate", "accuracy"}


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="bin/bench", description="What dgctl costs, beside others: docs/evidence/benchmark.md."
    )
    top.add_argument("--only", type=_parts, default=list(PARTS), metavar="PART,..", help=f"of {', '.join(PARTS)}")
    top.add_argument("--hosts", type=_positive, default=40, metavar="N", help="servers that are right (default: 40)")
    top.add_argument("--repeat", type=_positive, default=5, metavar="N", help="runs of each thing (default: 5)")
    top.add_argument(
        "--repeat-slow", type=_positive, default=5, metavar="N", help="runs of everything by Ansible (default: 5)"
    )
    top.add_argument(
        "--parallel", type=_positive, default=look.PARALLEL, metavar="N", help="SSH and pyinfra: hosts at a time"
    )
    top.add_argument(
        "--endpoints", type=_sizes, default=(250, 500, 1000), metavar="N,..", help="plan for so many hosts"
    )
    top.add_argument("--fleet-lab", default=labs.FLEET, metavar="NAME", help=f"of the fleet (default: {labs.FLEET})")
    top.add_argument("--fleet-many", type=_positive, default=10, metavar="N", help="nodes that one is added to")
    top.add_argument("--streams", type=_positive, default=40, metavar="N", help="at a time on the fleet (default: 40)")
    top.add_argument("--files", type=_positive, default=20, metavar="N", help="a second on the fleet (default: 20)")
    top.add_argument(
        "--benches", type=_positive, default=20, metavar="N", help="accuracy: of each shape and trouble (default: 20)"
    )
    top.add_argument("--out", type=Path, metavar="FILE", help="the JSON (default: bench/results/<utc>.json)")
    top.add_argument("--keep", action="store_true", help="leave the lab servers up")
    return top


def _parts(text: str) -> list[str]:
    """Names of parts, or of several at once by what they begin with: `fleet`."""
    desired = text.split(",")
    for name in desired:
        if not any(_is(part, name) for part in PARTS):
            raise argparse.ArgumentTypeError(f"{name}: there are {', '.join(PARTS)}")
    return [part for part in PARTS if any(_is(part, name) for name in desired)]


def _is(part: str, name: str) -> bool:
    return part == name or part.startswith(f"{name}_")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a number from 1 on")
    return int(text)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted(_positive(one) for one in text.split(",")))


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 every number is within its limit, 1 one is not or a part could not be measured, 130 interrupted."""
    options = parser().parse_args(arguments)
    world = World(
        **{name: getattr(options, name) for name in ("hosts", "repeat", "repeat_slow", "parallel", "endpoints")},
        **{name: getattr(options, name) for name in ("fleet_lab", "fleet_many", "streams", "files", "benches")},
    )
    at, facts = datetime.now(UTC), machine.facts()
    try:
        broken = [name for name in options.only if not _part(world, name)]
    except KeyboardInterrupt:
        return 130
    finally:
        if set(options.only) - WITHOUT_LAB:
            _put_away(world, options.keep)
        content = report.document(world, facts, f"{at:%Y-%m-%dT%H:%M:%SZ}", time.monotonic() - world.started)
        out = options.out or PROJECT / f"bench/results/{at:%Y%m%dT%H%M%SZ}.json"
        report.write(out, content)
        report.show(world, Console() if sys.stdout.isatty() else Console(width=160))
        world.say(f"written to {out}")
    return 1 if broken or any(verdict.verdict == "fail" for verdict in world.verdicts) else 0


def _part(world: World, name: str) -> bool:
    """Measures one part; when it cannot be measured, says why and lets the others go on."""
    started = time.monotonic()
    try:
        PARTS[name](world)
    except BenchError as error:
        world.note(f"{name} could not be measured: {error}")
        return False
    world.say(f"{name} took {time.monotonic() - started:.0f} s")
    return True


def _put_away(world: World, keep: bool) -> None:
    tree.cool()
    if keep:
        world.say(f"left running: bin/lab list; bin/lab down --name {labs.RIGHT}, --name {world.fleet_lab}")
        return
    for name in (labs.BLANK, labs.RIGHT, world.fleet_lab):
        if labs.names(name):
            labs.down(name)
