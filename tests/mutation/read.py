"""Puts what the processes of a run have measured into one file: {durations: {test: s}, tests: {"file:line": [test]}}."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

from coverage import CoverageData


def read(reported: Path, root: Path) -> dict[str, dict]:
    durations: dict[str, float] = {}
    tests: dict[str, set[str]] = defaultdict(set)
    for path in reported.iterdir():
        if path.suffix == ".json":
            durations |= json.loads(path.read_text())
            continue
        data = CoverageData(str(path))
        data.read()
        for file in data.measured_files():
            for line, names in data.contexts_by_lineno(file).items():
                tests[f"{Path(file).relative_to(root)}:{line}"].update(names)
    known = {place: sorted(names & durations.keys()) for place, names in tests.items()}
    return {"durations": durations, "tests": known}


if __name__ == "__main__":
    found = read(Path(sys.argv[1]), Path(sys.argv[2]))
    Path(sys.argv[3]).write_text(json.dumps(found))
    print(f"{len(found['durations'])} tests, {len(found['tests'])} lines")
