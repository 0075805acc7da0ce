"""Fixtures: one pair of Engine and API for the tests that do not break them, a bench for those that do."""

from __future__ import annotations

import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from .bench import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("standins"))
    made.license_server.wait_for("SIMULATED")
    time.sleep(0.3)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def pair(bench):
    """An Engine and an API that serve all tests which do not break them."""
    engine = bench.engine()
    engine.wait_for("Listening on http")
    return engine, bench.api(engine)


@pytest.fixture(scope="session", autouse=True)
def silent_client(pair):
    """A stream that says one KeepAlive and nothing more: (its thread, what it saw); ten seconds beside other tests."""
    seen: dict = {}

    def listen() -> None:
        query = "model=nova-3&encoding=linear16&sample_rate=16000"
        begin = time.monotonic()
        with connect(f"ws://127.0.0.1:{pair[1].ports['http']}/v1/listen?{query}") as stream:
            time.sleep(1)
            stream.send('{"type":"KeepAlive"}')
            try:
                stream.recv(timeout=20)
            except ConnectionClosed as closed:
                seen.update(code=closed.rcvd.code, reason=closed.rcvd.reason, seconds=time.monotonic() - begin)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    return thread, seen


@pytest.fixture
def url(pair):
    return f"http://127.0.0.1:{pair[1].ports['http']}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failing test shows the tail of what the programs wrote."""
    report = (yield).get_result()
    bench = item.funcargs.get("bench") if hasattr(item, "funcargs") else None
    if report.failed and bench:
        for program in bench.running:
            report.sections.append((f"output of {program.process.args[-1]}", "\n".join(program.lines[-40:])))
