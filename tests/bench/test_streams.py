"""The load that bench makes: latencies are those of the server, a late client is seen as that, and what is refused is counted."""

import asyncio
import time
from dataclasses import replace

import pytest

from dgctl.bench import files, recording, streams
from dgctl.bench.job import FILES, FLUX, LISTEN, STREAMS, Job, file_query, stream_query
from dgctl.bench.window import Bounds, fault, void
from dgctl.bench.workers import workers
from dgctl.verify.tls import Proxy
from tests.bench.delayed import delayed
from tests.standins.bench import Bench

SHORT = {"ramp_s": 1.0, "warmup_s": 0.5, "window_s": 4.0}


def job(port, load, **changes):
    path, query = stream_query("nova-3-general", "en", False)
    way = Proxy("127.0.0.1", port, "localhost", plain=True)
    return Job(STREAMS, way, path, query, load, **{**SHORT, **changes})


def test_the_latency_is_the_server_s():
    with delayed(0.3) as (port, _server), workers() as load:
        for _ in range(4):  # where other tests want the machine too, a window is slow by no fault of the client's
            window = load.measure(job(port, 5))
            if window.mean_s == pytest.approx(0.3, abs=0.06):
                break
    assert window.results >= 5 * 6 and window.mean_s == pytest.approx(0.3, abs=0.06)
    assert (window.refused, window.broken, void(window, Bounds())) == (0, 0, "")
    assert 0.8 < window.drift < 1.25


def test_what_is_refused_is_counted_and_is_no_latency():
    with delayed(0.1, limit=3) as (port, _server), workers() as load:
        window = load.measure(job(port, 5))
    assert (window.refused, window.broken, window.causes) == (2, 0, ("HTTP 503",))
    assert fault(window, Bounds()) == "2 refused"


def test_nobody_there():
    with workers() as load:
        window = load.measure(job(9, 2, window_s=0.5))
    assert window.broken == 2 and "refused" in window.causes[0].lower()


def test_a_client_that_stalls_is_seen(monkeypatch):
    """What this machine does not send in time voids the window, and is in the latency as well: nothing hides it."""
    with delayed(0.05) as (port, _server):
        asked = replace(job(port, 2), begin=time.monotonic())

        async def stalled():
            async def stall():
                await asyncio.sleep(3.0)
                time.sleep(1.0)

            raw, _ = await asyncio.gather(streams.measure(asked), stall())
            return raw

        raw = asyncio.run(stalled())
    assert max(raw.lags) > 0.6 and max(took for _, took in raw.latencies) > 0.4


def test_several_processes_share_the_work():
    shared = job(1, 7, seed=5).shared(3)
    assert [(one.load, one.seed) for one in shared] == [(3, 5), (2, 6), (2, 7)]
    assert len(job(1, 2).shared(8)) == 2
    assert Job.read(job(1, 2).as_dict()) == job(1, 2)


def test_what_is_asked():
    assert stream_query("flux-general-en", "en", True)[0] == FLUX and "language" not in stream_query("f", "en", True)[1]
    assert stream_query("nova-3", "en", False)[1]["interim_results"] == "true"
    assert file_query("nova-3", "en")[0] == LISTEN


def test_a_long_file_is_as_long_as_it_says():
    assert len(files.sound(60.0)) == 60 * recording.BYTES_A_SECOND + 44


@pytest.fixture
def api(tmp_path):
    made = Bench(tmp_path / "standins")
    made.license_server.wait_for("SIMULATED")
    engine = made.engine()
    engine.wait_for("Listening on http")
    yield made.api(engine).ports["http"]
    made.stop()


def test_streams_and_files_through_the_api(api):
    with workers() as load:
        window = load.measure(job(api, 3, window_s=10.0))
        path, query = file_query("nova-3-general", "en")
        asked = replace(job(api, 60, file_s=30.0), kind=FILES, path=path, query=query)
        sent = load.measure(asked)
    assert window.results > 10 and fault(window, Bounds()) == "", window
    assert window.words > 0.95 and window.mean_s < 0.4
    assert sent.broken == 0 and sent.results >= 1 and sent.factor > 5 and sent.words == 1.0, sent
