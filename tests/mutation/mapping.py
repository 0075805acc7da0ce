"""Who executes which line: each file of tests runs once under coverage.py, and is kept apart as soon as it is done."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.mutation.choose import APART
from tests.mutation.tree import CACHE, OPTIONS, copy
from tests.paths import PROJECT

SITE = CACHE / "site"  # coverage.py is needed for this alone, and not installed beside the project's own packages
COVERAGE = "coverage>=7.6,<8"
MAP = CACHE / "lines"  # one file of JSON a file of tests
LIMIT_S = 900


def map_tests(files: list[str]) -> None:
    """Runs these files of tests, or all, one after the other; what has been run in the same form is not run again."""
    installed = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(SITE), COVERAGE]
    if not SITE.is_dir():
        subprocess.run(installed, check=True)
    MAP.mkdir(parents=True, exist_ok=True)
    place = copy("map")
    shutil.copy(place / "tests/mutation/trace.py", place / "sitecustomize.py")
    for file in files or every_file():
        result = MAP / f"{file.replace('/', '.')}-{hashlib.sha256((place / file).read_bytes()).hexdigest()[:12]}.json"
        if not result.exists():
            _map(file, place, result)


def every_file() -> list[str]:
    paths = sorted(path.relative_to(PROJECT) for path in (PROJECT / "tests").rglob("test_*.py"))
    return [str(path) for path in paths if path.parts[1] not in APART and len(path.parts) > 2]


def _map(file: str, place: Path, result: Path) -> None:
    reported = CACHE / "told"
    shutil.rmtree(reported, ignore_errors=True)
    reported.mkdir(parents=True)
    plugins = ["-p", "no:xdist", "-p", "sitecustomize"]
    words = [sys.executable, "-m", "pytest", *OPTIONS, *plugins, "--tb=no", "--disable-warnings", file]
    try:
        for site in (str(SITE), ""):  # a test that fails only while it is traced is known by its time alone
            more = {"MUTATION_TRACE": str(reported), "MUTATION_ROOT": str(place), "MUTATION_SITE": site}
            environment = {**os.environ, **more, "PYTHONPATH": f"{place}:{site}".rstrip(":")}
            if not subprocess.run(words, cwd=place, env=environment, check=False, timeout=LIMIT_S).returncode:
                break
    except subprocess.TimeoutExpired:
        print(f"{file}: took more than {LIMIT_S} s, and is left out")
        return
    for old in MAP.glob(f"{file.replace('/', '.')}-*.json"):
        old.unlink()
    read = [sys.executable, "-m", "tests.mutation.read", str(reported), str(place), str(result)]
    print(file, end=": ", flush=True)
    subprocess.run(read, cwd=PROJECT, env={**os.environ, "PYTHONPATH": f"{PROJECT}:{SITE}"}, check=True)
