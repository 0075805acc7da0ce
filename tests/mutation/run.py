"""A mutation run: draws mutations with a seed, runs the tests that execute each line, writes down which nobody noticed.

    bin/mutants --map            runs every test once, and keeps who executes what (minutes)
    bin/mutants [--seed N] [--count N] [--all] [--only FILE[:LINE]]

Without a map, whole files of tests run that are about the mutated file. Nothing is changed in place: each worker has a
copy of the tree under .cache/mutation.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.mutation import page
from tests.mutation.candidates import ACTS, ALL, Mutation, collected
from tests.mutation.choose import APART, ByMap, ByName
from tests.paths import PROJECT

CACHE = PROJECT / ".cache" / "mutation"
SITE = CACHE / "site"  # coverage.py is needed for this alone, and not installed beside the project's own packages
COVERAGE = "coverage>=7.6,<8"
CHOSEN = {True: "the line that they execute", False: "the file that they are about"}
MAP = CACHE / "map.json"
LIMIT_S, CPU_S = 1800, 90  # a mutant that runs longer hangs: noticed
OPTIONS = ("-q", "--no-header", "-p", "no:cacheprovider", "--hypothesis-seed=0")
PRELOADED = (
    *("yaml", "jinja2", "click", "httpx", "websockets", "paramiko", "rich.console", "rich.progress"),
    *("tomli_w", "testinfra", "hypothesis.strategies", "cryptography.x509", "ansible.module_utils.basic"),
    "ansible.module_utils.testing",
)
OUT = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def copy(name: str) -> Path:
    """A fresh copy of what git knows and does not ignore."""
    place = CACHE / name
    shutil.rmtree(place, ignore_errors=True)
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=PROJECT, capture_output=True, check=True).stdout.decode().split("\0")
    for file in filter(None, files):
        if (PROJECT / file).exists():
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / file, place / file, follow_symlinks=False)
    (place / ".venv").symlink_to(Path(sys.executable).parent.parent)
    return place


def map_tests() -> None:
    """Runs every test once, and keeps how long each takes and who executes which line."""
    place, told = copy("map"), CACHE / "told"
    shutil.rmtree(told, ignore_errors=True)
    told.mkdir(parents=True)
    installed = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(SITE), COVERAGE]
    subprocess.run(installed, check=True)
    shutil.copy(place / "tests/mutation/trace.py", place / "sitecustomize.py")
    apart = [word for folder in APART for word in ("--ignore", f"tests/{folder}")]
    words = [
        sys.executable,
        "-m",
        "pytest",
        *OPTIONS,
        "tests",
        *apart,
        "-n",
        str(os.cpu_count()),
        "-p",
        "sitecustomize",
    ]
    traced = {"MUTATION_TRACE": str(told), "MUTATION_ROOT": str(place), "PYTHONPATH": f"{place}:{SITE}"}
    subprocess.run(words, cwd=place, env={**os.environ, **traced}, check=False)
    read = [sys.executable, "-m", "tests.mutation.read", str(told), str(place), str(MAP)]
    subprocess.run(read, cwd=PROJECT, env={**os.environ, "PYTHONPATH": f"{PROJECT}:{SITE}"}, check=True)


def judged(mutation: Mutation, tests: list[str], place: Path) -> dict[str, Any]:
    """What the tests say to one mutation: killed, survived, hung; or no test runs it."""
    found: dict[str, Any] = {"file": mutation.file, "line": mutation.line, "what": mutation.what, "tests": len(tests)}
    if not tests:
        return {**found, "end": "no test", "by": ""}
    path = place / mutation.file
    source, status = path.read_bytes(), path.stat()
    path.write_bytes(mutation.applied(source))
    moment = next(_MOMENTS)
    os.utime(path, (moment, moment))  # what is compiled is told apart by the second of its source
    try:
        status_of_tests, said = _tested(tests, place)
    finally:
        path.write_bytes(source)
        os.utime(path, (status.st_atime, status.st_mtime))
    by = next((line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))), said[-300:])
    return {
        **found,
        "end": {0: "survived", 1: "killed", 2: "killed", -1: "hung"}.get(status_of_tests, "killed"),
        "by": by,
    }


_MOMENTS = itertools.count(1_000_000_000)


def _tested(tests: list[str], place: Path) -> tuple[int, str]:
    """(pytest's exit status, or -1 for one that hangs; what it printed), from a fork that has everything imported."""
    output = place / ".output"
    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        for number, file in (
            (0, os.open(os.devnull, os.O_RDONLY)),
            (1, os.open(output, OUT)),
            (2, os.open(output, OUT)),
        ):
            os.dup2(file, number)
        os._exit(int(pytest.main([*OPTIONS, "-x", "-p", "no:xdist", "--tb=no", *tests])))
    end = time.monotonic() + LIMIT_S
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # also what a test has left running
    if done == (0, 0):
        os.waitpid(child, 0)
        return -1, ""
    status = os.waitstatus_to_exitcode(done[1])
    return (-1 if status == -signal.SIGXCPU else status), output.read_text(errors="replace")


def _work(number: int, mutations: list[Mutation], chooser: ByMap | ByName, results: Path) -> None:
    """One worker: everything that is not the tree's own is imported once."""
    place = copy(f"worker{number}")
    os.chdir(place)
    os.environ |= {"PYTHONPATH": str(place), "COLUMNS": "200"}
    sys.path[:] = [str(place), *(path for path in sys.path if path not in ("", str(PROJECT)))]
    for name in PRELOADED:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "dgctl")]:
        del sys.modules[name]
    with results.open("a", buffering=1) as file:
        for mutation in mutations:
            file.write(json.dumps(judged(mutation, chooser.of(mutation), place)) + "\n")


def run(mutations: list[Mutation], results: Path, workers: int) -> list[dict[str, Any]]:
    chooser = ByMap(MAP) if MAP.exists() else ByName(PROJECT)
    context = multiprocessing.get_context("fork")
    results.unlink(missing_ok=True)
    share = [mutations[number::workers] for number in range(workers)]
    started = [context.Process(target=_work, args=(*one, chooser, results)) for one in enumerate(share)]
    for worker in started:
        worker.start()
    for worker in started:
        worker.join()
    return [json.loads(line) for line in results.read_text().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--map", action="store_true", help="run every test once, and keep who executes what")
    parser.add_argument("--all", action="store_true", help="also of what only looks or writes words")
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--only", action="append", help="FILE or FILE:LINE: draw from these alone")
    options = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    if options.map:
        map_tests()
        return
    every = collected(PROJECT, ALL if options.all or options.only else ACTS)
    if options.only:
        every = [one for one in every if one.file in options.only or f"{one.file}:{one.line}" in options.only]
    drawn = random.Random(options.seed).sample(every, min(options.count, len(every)))
    name = "only" if options.only else "all" if options.all else f"{options.seed}-{options.count}"
    found = run(drawn, CACHE / f"result-{name}.jsonl", options.workers)
    if not options.only:
        page.write(PROJECT / "docs" / "mutation.md", found, options.seed, CHOSEN[MAP.exists()])
    alive = [one for one in found if one["end"] in ("survived", "no test")]
    for one in alive:
        print(f"{one['end']} {one['file']}:{one['line']} {one['what']}")
    print(f"{len(found) - len(alive)} of {len(found)} noticed")


if __name__ == "__main__":
    main()
