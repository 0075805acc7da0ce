"""A real Prometheus on loopback with blocks that promtool made: of samples, and of what the rules record of them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.measure import BenchError
from bench.pictures import fleet
from bench.ports import free_port
from bench.world import PROJECT
from dgctl.capacity.prometheus import Point, Prometheus
from dgctl.export import rules

ROUNDS = 3  # of backfilling: promtool reads what is in blocks, so a figure made of figures comes a round later
READY_S = 60


@contextmanager
def loaded(folder: Path, samples: str) -> Iterator[Prometheus]:
    """One that knows these samples, and what the role's own rules make of them."""
    (folder / "samples.txt").write_text(samples)
    (folder / "prometheus.yml").write_text("global: {}\n")
    (folder / "figures.yml").write_text(rules.rendered(PROJECT, rules.usual(PROJECT))["figures.yml"])
    _promtool(folder, "openmetrics", "samples.txt", "data")
    for _ in range(ROUNDS):
        with _running(folder) as url:
            times = (f"--start={fleet.START}", f"--end={fleet.END}")
            every = f"--eval-interval={fleet.STEP_S}s"
            _promtool(folder, "rules", f"--url={url}", *times, every, "--output-dir=data", "figures.yml")
    with _running(folder) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield Prometheus(client)


def asked(prometheus: Prometheus, query: str) -> dict[str, list[Point]]:
    """Name of each series -> its values over the fleet's hours, as a panel with every server chosen asks."""
    text = query.replace("$instance", ".*")
    found = prometheus.ask_range(text, fleet.START, fleet.END, 2 * fleet.STEP_S)
    return {labels.get("instance") or labels.get("profile", ""): points for labels, points in found}


def _promtool(folder: Path, *words: str) -> None:
    done = subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(
            f"promtool {words[0]} ended with {done.returncode}: {done.stderr[-500:] or done.stdout[-500:]}"
        )


@contextmanager
def _running(folder: Path) -> Iterator[str]:
    """Its URL, once it is ready."""
    port = free_port()
    words = ["prometheus", "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}"]
    words += ["--storage.tsdb.path=data", "--storage.tsdb.retention.time=100y", "--log.level=error"]
    with (folder / "prometheus.log").open("ab") as log:
        program = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
    try:
        _wait(program, f"http://127.0.0.1:{port}", folder)
        yield f"http://127.0.0.1:{port}"
    finally:
        program.terminate()
        program.wait()


def _wait(program: subprocess.Popen[bytes], url: str, folder: Path) -> None:
    until = time.monotonic() + READY_S
    while program.poll() is None and time.monotonic() < until:
        try:
            if httpx.get(f"{url}/-/ready", timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise BenchError(f"Prometheus did not start: {(folder / 'prometheus.log').read_text()[-500:]}")
