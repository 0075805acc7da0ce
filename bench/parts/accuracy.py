"""Does `dgctl bench` find a capacity that is known, and give no number where something disturbs it? Needs no lab."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.measure import BenchError
from bench.statistics import Verdict
from bench.world import PROJECT, World

SHAPES, TROUBLES = ("smooth", "cliff"), ("stalled", "neighbour", "throttled")
CAPACITIES, NOISE_PERCENT = (3, 24), 5  # more streams are more work, and no other question
NEAR, NEAR_SHARE = 1, 0.05
GOOD_SHARE, LIMIT_S = 0.95, 12 * 60
TRIAL_LIMIT_S = 3600

Trial = dict[str, Any]


def measure(world: World) -> None:
    """As many benches of each shape, and of each trouble, as `--benches` says."""
    asked = planned(world.benches)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = []
        for one in pool.map(_trial, asked):
            world.say(
                f"accuracy {len(found) + 1}/{len(asked)}: {one['curve']}, {one['trouble']}: {one['holds']}; {one['says']}"
            )
            found.append(one)
    world.measured["accuracy"] = {"trials": found}
    world.verdicts += verdicts(found)


def planned(benches: int) -> list[tuple[str, str, int]]:
    """(curve, trouble, seed) of each trial: capacities that differ, and the same each time."""
    kinds = [(shape, "none") for shape in SHAPES] + [("smooth", trouble) for trouble in TROUBLES]
    found = []
    for seed in range(benches):
        for shape, trouble in kinds:
            capacity = random.Random(f"{seed} {shape} {trouble}").randint(*CAPACITIES)
            found.append((f"{shape} {capacity} {NOISE_PERCENT} {seed}", trouble, seed))
    return found


def verdicts(found: list[Trial]) -> list[Verdict]:
    quiet = [one for one in found if one["trouble"] == "none"]
    said = []
    for shape in SHAPES:
        of = [one for one in quiet if one["curve"].startswith(shape)]
        good = sum(map(near, of)) / len(of)
        said.append(
            Verdict("accuracy", f"{shape}: found within 5 % or one, of {len(of)}", good, GOOD_SHARE, True, "of 1")
        )
    for trouble in TROUBLES:
        of = [one for one in found if one["trouble"] == trouble]
        numbers = sum(one["holds"] is not None and not near(one) for one in of)
        said.append(Verdict("accuracy", f"{trouble}: a wrong number, of {len(of)}", numbers, 0, unit=""))
        given = sum(one["holds"] is not None for one in of)
        said.append(Verdict("accuracy", f"{trouble}: a number at all, of {len(of)}", given, 0, unit=""))
    longest = max(one["seconds"] for one in quiet)
    return [*said, Verdict("accuracy", "longest bench", longest, LIMIT_S, unit="s")]


def near(one: Trial) -> bool:
    """Whether it found what it should."""
    allowed = max(NEAR, NEAR_SHARE * one["knows"])
    return one["holds"] is not None and abs(one["holds"] - one["knows"]) <= allowed


def _trial(asked: tuple[str, str, int]) -> Trial:
    words = [sys.executable, "-m", "bench.accuracy.trial", *map(str, asked)]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, timeout=TRIAL_LIMIT_S, check=False)
    if done.returncode:
        raise BenchError(f"a trial of {asked[0]} ({asked[1]}) failed: {done.stderr[-500:]}")
    return json.loads(done.stdout)
