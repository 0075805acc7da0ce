"""Operations on a fleet, one after the other, while a small load is on it.

`python -m bench.under_calls LAB FOLDER OPERATION...`: the lab's name, its deployment's folder, and names of
bench.fleet_operations. Exit code 1 when one failed, or a call was lost that was not on a node that died.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from bench.deployment import Deployment
from bench.fleet import Fleet
from bench.fleet_operations import OPERATIONS
from bench.load import beside
from bench.measure import BenchError

STREAM_S = 7
LOAD = ["--streams", "12", "--files", "5", "--stream-seconds", str(STREAM_S)]
BY_NAME = {operation.name: operation for operation in OPERATIONS}


def main(lab: str, folder: str, *names: str) -> int:
    fleet = Fleet(lab, Deployment(Path(folder)))
    excused = 0
    with (
        tempfile.TemporaryDirectory() as scratch,
        beside.load(Path(scratch), fleet.front["name"], fleet.front["address"], *LOAD) as running,
    ):
        for name in names:
            began = time.monotonic()
            try:
                excused += BY_NAME[name].run(fleet)
            except BenchError as error:
                print(f"{name}: {error}\n{beside.lost(running.seen())}")
                return 1
            print(f"{name}: {time.monotonic() - began:.0f} s")
        time.sleep(STREAM_S + 3)  # until the streams that live now are over
        document = running.stop()
    print(json.dumps({kind: document[kind] for kind in ("files", "streams")}), f"{excused} streams were on dead nodes")
    print(beside.lost(document))
    return 1 if document["files"]["failed"] or document["streams"]["broken"] > excused else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
