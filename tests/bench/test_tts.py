"""`bench --tts`: the time to the first sound, of texts on a schedule that nothing shifts; and the capacity that follows."""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dgctl.base.errors import Exit
from dgctl.bench import promised, questions, result, tts
from dgctl.bench.job import TTS, Job
from dgctl.bench.result import Result
from dgctl.bench.search import Found, Plan, Search
from dgctl.bench.window import SPEECH, Bounds, Raw, Window, fault, is_clear, merged
from dgctl.bench.workers import workers
from dgctl.verify import voices
from dgctl.verify.tls import Proxy
from dgctl.verify.voices import RATE, TEXT
from lab.deepgram.models import SPEAKING, write_model
from lab.deepgram.programs.model_file import Model
from tests.bench.speaking import BYTES_A_SECOND, speaking
from tests.bench.test_bench_verb import deployment, drained, here, refused, run  # noqa: F401 - a deployment of gpu1, gpu2
from tests.standins.bench import Bench
from tests.unit.conftest import folder  # noqa: F401

TRIES = 3  # of what this machine measures: it may be busy with other tests, and what is wrong is wrong each time
SHORT = {"ramp_s": 0.5, "warmup_s": 0.5, "window_s": 3.0}
FLUX_TTS = next(row[3] for row in SPEAKING if row[2] == "flux-tts")


def job(port, load, path="/v1/speak", voice="aura-2-thalia-en", **changes):
    way = Proxy("127.0.0.1", port, "localhost", plain=True)
    return Job(TTS, way, path, voices.query(voice), load, **{**SHORT, **changes})


def measured(load=300, changes=None, **server):
    with speaking(**server) as (port, seen), workers() as processes:
        return processes.measure(job(port, load, **(changes or {}))), seen


def test_the_latency_is_until_the_first_sound():
    for _ in range(TRIES):
        window, seen = measured(service_s=0.05, late_s=0.4)
        if window.mean_s < 0.25 and not fault(window, Bounds()):
            break
    assert 14 <= window.results <= 16
    assert 0.05 <= window.mean_s < 0.25, "and not 0.45, when all of it is here"
    assert window.at_once == pytest.approx(5 * 0.46, rel=0.3), "as long as its last byte is not here, it is under way"
    assert (window.refused, window.broken, fault(window, Bounds())) == (0, 0, "")
    query, text = seen.asked[0]
    assert (
        query
        == {
            "model": "aura-2-thalia-en",
            "encoding": "linear16",
            "container": "none",
            "sample_rate": str(RATE),
        }
        and text == TEXT
    )


@pytest.mark.parametrize(
    ("server", "refused_", "cause"),
    [
        ({"limit": 0}, True, "HTTP 429"),
        ({"sound": bytes(200)}, False, "0.0 s of sound for"),
        ({"cut": True}, False, "RemoteProtocolError"),
        ({"sound": bytes(int(1.2 * BYTES_A_SECOND)), "late_s": 1.5}, False, "slower than it plays"),
    ],
)
def test_what_a_caller_could_not_use_is_lost(server, refused_, cause):
    window, _ = measured(120, {"window_s": 1.5}, **server)
    assert window.results == 0 and cause in window.causes[0], window
    assert (window.refused > 0, window.broken > 0) == (refused_, not refused_)


def test_nobody_there():
    with workers() as processes:
        window = processes.measure(job(9, 120, window_s=0.5))
    assert window.broken and "connect" in window.causes[0].lower()


def test_a_window_has_as_many_requests_as_its_load_says():
    for load in (60, 90, 1000):
        asked = job(1, load, ramp_s=5.0, warmup_s=10.0, window_s=30.0)
        due = tts.schedule(asked)
        assert due == sorted(due) and due == tts.schedule(asked), "the same each time"
        assert abs(sum(at >= asked.starts for at in due) - load / 2) <= 1 and due[-1] < asked.ends


def test_a_client_that_stalls_is_seen():
    """What this machine sends late voids the window, and is in the latency as well."""
    with speaking() as (port, _server):
        asked = replace(job(port, 600), begin=time.monotonic())

        async def stalled():
            async def stall():
                await asyncio.sleep(2.0)
                time.sleep(1.0)

            return (await asyncio.gather(tts.measure(asked), stall()))[0]

        raw = asyncio.run(stalled())
    assert max(raw.lags) > 0.6 and max(took for _, took in raw.latencies) > 0.4


def simulated(asked, a_minute):
    """What a server that speaks one text after the other would make of this job's schedule, on a clock of its own."""
    raw, free, service_s = Raw(), 0.0, 60 / a_minute
    for due in tts.schedule(asked):
        free = max(due, free) + service_s
        if due >= asked.starts:
            raw.latencies.append((due - asked.starts, free - due))
    return merged(asked.load, asked.window_s, [raw])


@pytest.mark.parametrize("a_minute", [90, 173, 420, 1080, 4100])
def test_the_capacity_is_found_within_5_percent(a_minute):
    """By the real schedule, bounds and search, at the window that is usual."""
    bounds = replace(SPEECH, mean_s=2.5 * 60 / a_minute, p90_s=2.5 * 60 / a_minute, p95_s=60.0, p99_s=60.0)

    def probe(load, long):
        return simulated(job(1, load, ramp_s=5.0, warmup_s=10.0, window_s=120.0 if long else 30.0), a_minute)

    found = Search(probe, bounds, Plan(60, 8000, least=10)).run()
    assert abs(found.lower - a_minute) <= max(1, 0.05 * a_minute) and found.sustained, found


@pytest.mark.usefixtures("steady")
def test_the_capacity_of_a_server_is_found_within_5_percent():
    """Over HTTP: above it texts queue, and the first sound comes later and later."""
    a_minute, bounds = 1080, replace(SPEECH, mean_s=0.3, p90_s=0.3, p99_s=0.6, lag_s=0.15)
    for _ in range(TRIES):
        found = searched(a_minute, bounds)
        if abs(found.lower - a_minute) <= 0.05 * a_minute and found.sustained:
            break
    assert abs(found.lower - a_minute) <= 0.05 * a_minute and found.sustained, found


def searched(a_minute, bounds):
    with speaking(service_s=60 / a_minute) as (port, _server), workers() as processes:

        def probe(load, long):
            return processes.measure(job(port, load, window_s=8.0 if long else 6.0, warmup_s=1.5))

        return Search(probe, bounds, Plan(960, 1200)).run()


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ({"mean_s": 0.15, "p90_s": 0.19, "p95_s": 0.3, "p99_s": 0.45}, ""),
        ({"mean_s": 0.15, "p90_s": 0.21, "p95_s": 0.3, "p99_s": 0.45}, "210 ms at P90"),
        ({"mean_s": 0.15, "p90_s": 0.19, "p95_s": 0.3, "p99_s": 0.55}, "550 ms at P99"),
        ({"mean_s": 0.25, "p90_s": 0.3}, "250 ms in the mean"),
    ],
)
def test_the_bounds_are_those_of_deepgram_s_alerts(figures, says):
    assert fault(Window(60, 30.0, 30, **figures), SPEECH) == says


def test_what_is_promised_is_the_bound(here):  # noqa: F811
    assert promised.bounds({}, TTS) == SPEECH == promised.bounds({"deepgram_sla_speech_ms": "200"}, TTS)
    speaks("gpu2", "deepgram_profile: aura\ndeepgram_sla_speech_ms: 300\n")
    found = promised.bounds(deployment().hosts["gpu2"].vars, TTS)
    assert (found.mean_s, found.p90_s, found.p99_s) == (0.3, 0.3, 0.75)
    assert fault(Window(60, 30.0, 30, 0.2, p90_s=0.29, p99_s=0.7), found) == ""
    assert promised.bounds({"deepgram_sla_speech_ms": 300}) == Bounds(), "streams have their own"


def test_one_slow_answer_decides_nothing():
    assert not is_clear(Window(60, 30.0, 30, mean_s=0.05, p90_s=0.06, p99_s=0.9), SPEECH)
    assert is_clear(Window(60, 30.0, 30, mean_s=0.05, p90_s=0.06, p99_s=0.1), SPEECH)
    assert is_clear(Window(60, 30.0, 30, mean_s=0.2, p90_s=0.3, p99_s=0.4), SPEECH)
    assert is_clear(Window(60, 30.0, 30, mean_s=0.2, p99_s=2.0), Bounds()), "streams are judged as before"


def done(**changes):
    windows = [Window(load, 30.0, load // 2, 0.1, p90_s=0.15, at_once=load / 60) for load in (60, 120, 240, 180)]
    found = Found(180, 240, "210 ms at P90", sustained=True, windows=windows, **changes)
    return Result("gpu1", TTS, "20261130T080000Z", found, {"gpus": "Tesla T4 + Tesla T4"}, SPEECH)


def test_the_advice_is_of_requests_a_minute():
    lines = result.advice(done(), 4, set(), False)
    assert lines == [
        f"Add a server before more than 162 requests a minute of {len(TEXT)} characters, 2.7 at a time come for each",
        "4 servers like it take 648 requests a minute, 486 when one is out",
    ]
    assert "raise deepgram_engine_max_active_requests" in result.advice(done(limited=True), 1, set(), False)[0]
    assert result.sentence(done()).startswith("gpu1 holds 180 requests a minute and not 240 (210 ms at P90)")


def test_its_table_and_its_bounds():
    headings, first = result.table(done())[:2]
    assert headings == ("load", "mean", "P90", "P99", "at a time", "lost", "own lag") and first[4] == "1.0"
    assert done().document()["bounds"] == {"mean_s": 0.2, "p90_s": 0.2, "p95_s": 0.5, "p99_s": 0.5, "factor": 100.0}
    json.dumps(done().document(), allow_nan=False)


def speaks(name, text):
    Path("host_vars").mkdir(exist_ok=True)
    Path(f"host_vars/{name}.yml").write_text(text)


@pytest.mark.parametrize(
    ("profile", "path", "voice"),
    [("aura", "/v1/speak", "aura-2-thalia-en"), ("flux_tts", "/v2/speak", "flux-haley-en")],
)
def test_what_is_asked_follows_from_the_profile(here, profile, path, voice):  # noqa: F811
    speaks("gpu2", f"deepgram_profile: {profile}\n")
    questions.require_voices(deployment())
    asked, query = questions.question(deployment(), deployment().hosts["gpu2"], TTS)
    assert (asked, query["model"]) == (path, voice)
    error = refused(questions.question, deployment(), deployment().hosts["gpu2"], "streams")
    assert error.exit_code == Exit.USAGE and "--tts" in error.problems[0].fix
    error = refused(questions.question, deployment(), deployment().hosts["gpu1"], TTS)
    assert error.exit_code == Exit.USAGE and "--streams, --files" in error.problems[0].fix


def test_a_language_without_a_known_voice(here):  # noqa: F811
    speaks("gpu2", "deepgram_profile: aura\ndeepgram_aura_language: polyglot\n")
    error = refused(questions.question, deployment(), deployment().hosts["gpu2"], TTS)
    assert "deepgram_verify_voice" in error.problems[0].fix


def test_an_inventory_in_which_nobody_speaks(here, monkeypatch):  # noqa: F811
    ended = run(monkeypatch, 9, "--tts")
    assert ended.exit_code == 2 and "no server of this inventory speaks" in ended.output
    assert "deepgram_profile: aura or flux_tts" in ended.output


@pytest.mark.usefixtures("steady")
def test_a_bench_from_end_to_end(here, monkeypatch):  # noqa: F811
    """Kept, drawn, told; and compared with the release before."""
    speaks(
        "gpu2",
        "deepgram_profile: aura\ndeepgram_aura_max_batch_size: 8\ndeepgram_aura_language: en\n"
        "deepgram_models_links: [https://m.example.com/aura-2.voice-pack.en.a1b2.dg]\n",
    )
    slow = replace(
        SPEECH, mean_s=2.0, p90_s=2.0, p95_s=4.0, p99_s=4.0, lag_s=0.5
    )  # this machine may be busy with other tests
    monkeypatch.setattr(promised, "speech", lambda _ms: slow)
    with speaking(limit=0) as (port, _server):
        ended = run(monkeypatch, port, "--tts", "--json", "--most", "60")
    assert ended.exit_code == 0, ended.output
    reported = json.loads(ended.stdout)["hosts"]["gpu2"]["status"]["bench"]
    assert (reported["kind"], reported["unit"], reported["holds"], reported["limited"]) == (
        TTS,
        "requests a minute",
        0,
        True,
    )
    with speaking() as (port, _server):
        ended = run(monkeypatch, port, "--tts", "--most", "60")
    assert "gpu2 holds 60 requests a minute and more were not tried; before: 0" in ended.stdout
    compared = run(monkeypatch, 9, "--tts", "--compare")
    assert "60 requests a minute" in compared.stdout and "aura-2-thalia-en" in compared.stdout


def test_the_stand_in_of_the_lab_speaks_in_time(tmp_path):
    made = Bench(tmp_path / "standins")
    try:
        made.license_server.wait_for("SIMULATED")
        for name, languages, kind, uuid, version in SPEAKING:
            write_model(made.models / f"{name}.dg", Model(name, languages, "streaming", uuid, version, kind, size=2000))
        engine = made.engine({"flux_tts": {"enabled": True, "uuid": FLUX_TTS, "max_batch_size": 16}})
        engine.wait_for("Listening on http")
        api = made.api(engine, changes={"features": {"speak_v2": True, "speak_v2_streaming": True}})
        with workers() as processes:
            window = processes.measure(job(api.ports["http"], 60, "/v2/speak", "flux-haley-en", window_s=5.0))
    finally:
        made.stop()
    assert window.results >= 4 and window.broken == window.refused == 0, window
