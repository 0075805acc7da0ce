"""A mutation run: draws mutations with a seed, runs the tests that execute each line, writes down which nobody noticed.

    bin/mutants --map [FILE]     runs each file of tests once, and keeps who executes what (minutes; --map FILE: one)
    bin/mutants [--seed N] [--count N] [--all] [--only FILE[:LINE]]
    bin/mutants --again          those that survived, with the tests and the code of now

Without a map, whole files of tests run that are about the mutated file. Nothing is changed in place: each worker has a
copy of the tree under .cache/mutation. A run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import multiprocessing
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.mutation import page
from tests.mutation.candidates import ACTS, ALL, Mutation, collected
from tests.mutation.choose import ByMap, ByName
from tests.mutation.judge import judged
from tests.mutation.mapping import MAP, map_tests
from tests.mutation.tree import CACHE, copy
from tests.paths import PROJECT

PRELOADED = (
    *("yaml", "jinja2", "click", "httpx", "websockets", "paramiko", "rich.console", "rich.progress"),
    *("tomli_w", "testinfra", "hypothesis.strategies", "cryptography.x509", "ansible.module_utils.basic"),
    "ansible.module_utils.testing",
)


def _work(number: int, mutations: list[Mutation], results: Path, of: int) -> None:
    """One worker: everything that is not the tree's own is imported once."""
    chooser = ByMap(MAP) if MAP.is_dir() else ByName(PROJECT)
    place = copy(f"worker{number}")
    os.chdir(place)
    os.environ |= {"PYTHONPATH": str(place), "COLUMNS": "200"}
    sys.path[:] = [str(place), *(path for path in sys.path if path not in ("", str(PROJECT)))]
    for name in PRELOADED:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "dgctl")]:
        del sys.modules[name]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=PROJECT, capture_output=True, text=True)
    same = {"commit": commit.stdout.strip(), "date": str(datetime.datetime.now(datetime.UTC).date()), "of": of}
    with results.open("a", buffering=1) as file:
        for mutation in mutations:
            tests = chooser.of(mutation)
            end, by = judged(mutation, tests, place)
            reported = {"file": mutation.file, "line": mutation.line, "what": mutation.what, "tests": len(tests)}
            reported["text"] = _line_of(mutation)
            file.write(json.dumps({**reported, "end": end, "by": by, **same}) + "\n")


def run(mutations: list[Mutation], results: Path, workers: int, of: int) -> None:
    """A line of JSON for each; `of`: how many they were drawn from."""
    context = multiprocessing.get_context("fork")
    share = [mutations[number::workers] for number in range(workers)]
    started = [context.Process(target=_work, args=(*one, results, of)) for one in enumerate(share)]
    for worker in started:
        worker.start()
    for worker in started:
        worker.join()


def read(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def drawn(every: list[Mutation], seed: int, count: int) -> list[Mutation]:
    return random.Random(seed).sample(every, min(count, len(every)))


def remaining(mutations: list[Mutation], found: list[dict[str, Any]]) -> list[Mutation]:
    """Those without a result: of one that was drawn, file, line and change are a name."""
    known = {(one["file"], one["line"], one["what"]) for one in found}
    return [one for one in mutations if (one.file, one.line, one.what) not in known]


def again(results: Path, workers: int) -> None:
    """Tries the survivors once more: the same change, where that line is now. What is in no line any more is gone."""
    found = read(results)
    every = collected(PROJECT, ALL)
    tried = CACHE / "again.jsonl"
    tried.unlink(missing_ok=True)
    nearest = {number: _nearest(every, one) for number, one in enumerate(found) if page.is_alive(one)}
    run(list(dict.fromkeys(filter(None, nearest.values()))), tried, workers, len(every))
    ends = {(one["file"], one["line"], one["what"]): one for one in read(tried)}
    for number, mutation in nearest.items():
        if mutation is None:
            found[number]["again"] = {"end": "gone"}
        elif (place := (mutation.file, mutation.line, mutation.what)) in ends:
            found[number]["again"] = ends[place]
    results.write_text("".join(json.dumps(one) + "\n" for one in found))


def _nearest(every: list[Mutation], one: dict[str, Any]) -> Mutation | None:
    """The same change of the same text; None where the line reads otherwise by now, or is gone."""
    same = [mutation for mutation in every if (mutation.file, mutation.what) == (one["file"], one["what"])]
    same = [mutation for mutation in same if _line_of(mutation) == one["text"]]
    return min(same, key=lambda mutation: abs(mutation.line - one["line"]), default=None)


def _line_of(mutation: Mutation) -> str:
    return (PROJECT / mutation.file).read_text().splitlines()[mutation.line - 1].strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--map", nargs="*", metavar="FILE", help="run the tests once, and keep who executes what")
    parser.add_argument("--all", action="store_true", help="also of what only looks or writes words")
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--only", action="append", help="FILE or FILE:LINE: draw from these alone")
    parser.add_argument("--again", action="store_true", help="try those that survived once more")
    parser.add_argument("--page", action="store_true", help="run nothing: write the page from what was found")
    options = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    if options.map is not None:
        map_tests(options.map)
        return
    results = CACHE / f"result-{'all-' if options.all else ''}{options.seed}-{options.count}.jsonl"
    if options.only:
        _only(options)
        return
    every = collected(PROJECT, ALL if options.all else ACTS)
    if options.again:
        again(results, options.workers)
    elif not options.page:
        run(remaining(drawn(every, options.seed, options.count), read(results)), results, options.workers, len(every))
    page.write(PROJECT / "docs" / "mutation.md", read(results), options.seed)


def _only(options: argparse.Namespace) -> None:
    every = [one for one in collected(PROJECT, ALL) if {one.file, f"{one.file}:{one.line}"} & set(options.only)]
    results = CACHE / "result-only.jsonl"
    results.unlink(missing_ok=True)
    run(drawn(every, options.seed, options.count), results, options.workers, len(every))
    found = read(results)
    alive = [one for one in found if page.is_alive(one)]
    for one in alive:
        print(f"{one['end']} {one['file']}:{one['line']} {one['what']}")
    print(f"{len(found) - len(alive)} of {len(found)} noticed")


if __name__ == "__main__":
    main()
