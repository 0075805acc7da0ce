"""python -m bench.load NAME: load until it is told to stop; the result as JSON on stdout."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from bench.load import client
from bench.load.files import Files
from bench.load.streams import Streams
from bench.load.tally import Tally
from dgctl.bench import recording

STEADY = "steady: every stream is open, files are answered"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    top.add_argument("name", help="of the proxy, as its certificate says it")
    top.add_argument("--address", default="", metavar="IP", help="of the name, when no DNS knows it")
    top.add_argument("--port", type=int, default=443)
    top.add_argument("--plain", action="store_true", help="without TLS, as an API's own port is")
    top.add_argument("--cacert", type=Path, metavar="PEM", help="the certificate to trust")
    top.add_argument("--model", default="nova-3-general")
    top.add_argument("--streams", type=int, default=40, metavar="N", help="at a time (default: 40)")
    top.add_argument("--stream-seconds", type=float, default=30, metavar="S", help="how long each is (default: 30)")
    top.add_argument("--files", type=float, default=20, metavar="N", help="a second (default: 20)")
    top.add_argument("--timeout", type=float, default=60, metavar="S", help="for a file (default: 60)")
    top.add_argument("--seconds", type=float, metavar="S", help="how long (default: until SIGINT or SIGTERM)")
    top.add_argument("--out", type=Path, metavar="FILE", help="the JSON, also while it runs: rewritten each second")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 nothing was lost, 1 something was."""
    options = parser().parse_args(arguments)
    logging.disable(logging.CRITICAL)  # the libraries' own; failures are in the result
    tally = Tally()
    asyncio.run(run(options, tally))
    print(json.dumps(tally.document(), indent=1))
    return 1 if tally.files_failed or tally.streams_broken else 0


async def run(options: argparse.Namespace, tally: Tally) -> None:
    """Load until the time is over or a signal comes; then every request ends: streams at once, files when answered."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    target = client.Target(
        options.name, options.address, str(options.cacert or ""), options.port, options.model, not options.plain
    )
    sdk, sound = client.connect(target, options.timeout), recording.load()
    files = Files(sdk, target.model, sound, tally, options.files)
    streams = Streams(sdk, target.model, sound, tally, options.streams, options.stream_seconds)
    telling = asyncio.create_task(tell(tally, options))
    work = asyncio.gather(files.run(stop), streams.run(stop))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), options.seconds)
    stop.set()
    await work
    telling.cancel()
    write(tally, options.out)


async def tell(tally: Tally, options: Any) -> None:
    """A line a second on stderr, and once that the load is steady."""
    steady = False
    while True:
        await asyncio.sleep(1)
        print(tally.line(), file=sys.stderr, flush=True)
        if not steady and tally.most_live >= options.streams and (tally.latencies or not options.files):
            steady = True
            print(STEADY, file=sys.stderr, flush=True)
        write(tally, options.out)


def write(tally: Tally, path: Path | None) -> None:
    """Replaces the file as a whole, so that a reader never sees half of it."""
    if path:
        new = path.with_suffix(".new")
        new.write_text(json.dumps(tally.document(), indent=1) + "\n")
        new.replace(path)
