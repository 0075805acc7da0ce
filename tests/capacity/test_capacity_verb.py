"""`dgctl capacity`: from kept benches and a Prometheus to shares, dates and advice; nothing where nothing is known."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from dgctl.bench.window import Window
from dgctl.cli import main
from tests.bench.test_retained import DOCUMENT, keep
from tests.capacity import asked
from tests.unit.conftest import folder  # noqa: F401 - a deployment of gpu1 and gpu2

HOUR = 3600
NOW = time.time()
MODELS = "deepgram_models_links: [https://m.example.com/nova-3-general.en.streaming.a1b2.dg]\n"
GPUS = [({"instance": name, "gpu": "0", "name": "Tesla T4"}, 1) for name in ("gpu1", "gpu2")]
UP = [({"instance": name, "profile": "stt"}, 1) for name in ("gpu1", "gpu2")]


@pytest.fixture
def here(folder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    Path("group_vars/all/main.yml").write_text(MODELS)
    Path(".dgctl").mkdir(mode=0o700)
    return folder


def growing(first=20.0, a_day=0.5, count=28):
    """Hourly figures of so many whole days up to now: the busiest hour grows."""
    last = NOW // HOUR * HOUR
    found = []
    for n in range(count * 24):
        day = (last - n * HOUR - HOUR / 2) // 86400 - (last - count * 86400) // 86400
        found.append((last - n * HOUR, first + a_day * day))
    return found[::-1]


def run(*words):
    return CliRunner().invoke(main, ["capacity", "inventory.ini", *words])


def test_how_full_it_is_and_when_it_will_be(here):
    """gpu1 was benched: 40. gpu2 is equal. Each takes 36, 72 together; the use of 20 grows by half a stream a day."""
    keep(here / ".dgctl/bench")
    with asked.prometheus(asked.whole(NOW, {"stt": growing()}, gpus=GPUS, up=UP)) as url:
        ended = run("--prometheus", url)
        document = json.loads(run("--prometheus", url, "--json").stdout)
    assert ended.exit_code == 0, ended.output
    reported = document["capacity"]["profiles"]["stt"]
    assert [(one["takes"], one["by"], one["bench"]["streams"]["measured"]) for one in reported["servers"]] == [
        (36, "bench", "gpu1"),
        (36, "bench", "gpu1"),
    ]
    requests = reported["requests"]
    assert requests["takes"] == {"all": 72, "without_largest": 36, "one_more": 108}
    assert requests["peak"]["value"] == pytest.approx(34, abs=0.6)
    assert requests["share"]["without_largest"] == pytest.approx(requests["peak"]["value"] / 36, abs=0.001)
    assert requests["trend_a_week"]["likely"] == pytest.approx(3.5)
    assert requests["full"]["earliest"] == requests["full"]["likely"] == requests["full"]["latest"]
    assert f"  all                  72   {requests['share']['all']:.0%}" in ended.stdout
    assert "+3.5 a week (+3.5 to +3.5, 9 of 10" in ended.stdout
    assert f"advice: Have another server ready by {requests['full']['likely']}" in ended.stdout
    (row,) = reported["gpus"]
    assert (row["gpus"], row["servers"], row["streams"], row["files_a_minute"]) == (
        "Tesla T4 (the least)",
        "2",
        "40",
        "-",
    )


def speaking(here_, p90_s=None, **about):
    """Two servers that speak, gpu1 with a bench; `p90_s`: by load, if not the same at each."""
    p90_s = p90_s or dict.fromkeys((120, 180, 240), 0.15)
    Path("host_vars").mkdir(exist_ok=True)
    for name in ("gpu1", "gpu2"):
        Path(f"host_vars/{name}.yml").write_text(
            "deepgram_profile: aura\ndeepgram_aura_max_batch_size: 8\ndeepgram_aura_language: en\n"
            "deepgram_models_links: [https://m.example.com/aura-2.voice-pack.en.a1b2.dg]\n"
        )
    windows = [Window(load, 30.0, load // 2, 0.08, p90_s=p90_s[load], at_once=load / 30) for load in (120, 240, 180)]
    retained = {"kind": "tts", "holds": 180, "fails": 240, "windows": [one.as_dict() for one in windows]}
    retained["bounds"] = {"mean_s": 0.2, "p90_s": 0.2, "p95_s": 0.5, "p99_s": 0.5, "factor": 100.0}
    retained["about"] = DOCUMENT["about"] | {"profile": "aura", "model": "aura-2-thalia-en"} | about
    keep(here_ / ".dgctl/bench", "20261130T080000Z-gpu1-tts", **retained)


def test_servers_that_speak_take_what_their_bench_had_at_a_time(here):
    """180 texts a minute were 6 at a time: nine tenths are 5, and the two servers take 10."""
    speaking(here)
    up = [({"instance": name, "profile": "aura"}, 1) for name in ("gpu1", "gpu2")]
    with asked.prometheus(asked.whole(NOW, {"aura": growing(4, 0)}, gpus=GPUS, up=up)) as url:
        ended = run("--prometheus", url)
        reported = json.loads(run("--prometheus", url, "--json").stdout)["capacity"]["profiles"]["aura"]
    assert ended.exit_code == 0, ended.output
    assert [(one["takes"], one["by"], one["bench"]["speech"]["holds"]) for one in reported["servers"]] == [
        (5, "bench", 180),
        (5, "bench", 180),
    ]
    assert reported["requests"]["share"]["all"] == pytest.approx(0.4, abs=0.01)
    assert (
        "bench of speech" in ended.stdout and "180, not 240 a minute, first sound 150 ms (P90), as gpu1" in ended.stdout
    )
    assert "bench of streams" not in ended.stdout and reported["gpus"][0]["texts_a_minute"] == "180"


@pytest.mark.parametrize(
    ("promise", "holds", "fails", "takes", "first_sound"),
    [(200, 180, 240, 5, 150), (140, 120, 180, 3, 120), (90, 0, 120, 0, None)],
)
def test_another_promise_of_speech_judges_the_windows_again(here, promise, holds, fails, takes, first_sound):
    speaking(here, {120: 0.12, 180: 0.15, 240: 0.3})
    with Path("group_vars/all/main.yml").open("a") as file:
        file.write(f"deepgram_sla_speech_ms: {promise}\n")
    reported = json.loads(run("--json").stdout)["capacity"]
    assert reported["promised"]["speech_ms"] == promise
    server = reported["profiles"]["aura"]["servers"][0]
    bench = server["bench"]["speech"]
    assert (bench["holds"], bench["fails"], server["takes"]) == (holds, fails, takes)
    assert bench.get("first_sound_ms") == first_sound
    assert (f"first sound {first_sound} ms (P90)" in run().stdout) is (first_sound is not None)


def test_what_speaks_is_measured_with_tts(here):
    speaking(here, release="release-260305")
    ended = run()
    assert "Measure gpu1 again, its bench is of release-260305: dgctl bench inventory.ini gpu1 --tts" in ended.stdout
    assert (
        "Measure what gpu2 holds: dgctl drain inventory.ini gpu2, then dgctl bench inventory.ini gpu2 --tts"
        in ended.stdout
    )


def test_without_anything_known_there_is_no_number(here):
    ended = run()
    assert ended.exit_code == 0, ended.output
    measure = "dgctl drain inventory.ini gpu1, then dgctl bench inventory.ini gpu1"
    assert f"advice: Measure what gpu1 holds (not known either: gpu2): {measure}" in ended.stdout
    assert "advice: Nothing says how much is used" in ended.stdout
    reported = json.loads(run("--json").stdout)["capacity"]["profiles"]["stt"]
    assert "takes" not in reported["requests"] and "peak" not in reported["requests"]
    assert [(one["takes"], one["by"]) for one in reported["servers"]] == [(None, ""), (None, "")]
    assert [row["streams"] for row in reported["gpus"]] == ["-"]


def test_limits_benches_of_other_releases_and_files_that_are_none(here):
    Path("group_vars/all/main.yml").write_text(MODELS + "deepgram_engine_max_active_requests: 38\n")
    keep(here / ".dgctl/bench", about=DOCUMENT["about"] | {"release": "release-260305"})
    (here / ".dgctl/bench/torn.json").write_text("{")
    ended = run()
    assert ended.exit_code == 0 and "torn.json" in ended.output and "remove it" in ended.output
    assert "40, not 41, with release-260305" in ended.stdout
    assert "advice: Measure gpu1 again, its bench is of release-260305: dgctl bench inventory.ini gpu1" in ended.stdout
    rows = {line.split()[0]: line.split()[1] for line in ended.stdout.splitlines() if line.startswith("  gpu")}
    assert rows == {"gpu1": "36", "gpu2": "38"}, "an equal server's bench of another release says nothing"


def test_with_servers_of_which_nothing_is_known_there_is_no_share(here):
    """gpu2 has other GPUs: what both carry is no share of what gpu1 takes."""
    keep(here / ".dgctl/bench")
    gpus = [GPUS[0], ({"instance": "gpu2", "gpu": "0", "name": "NVIDIA L4"}, 1)]
    with asked.prometheus(asked.whole(NOW, {"stt": growing()}, gpus=gpus, up=UP)) as url:
        ended = run("--prometheus", url)
        reported = json.loads(run("--prometheus", url, "--json").stdout)["capacity"]["profiles"]["stt"]["requests"]
    assert reported["takes"] == {"known": 36} and reported["unknown"] == ["gpu2"]
    assert "share" not in reported and "full" not in reported and reported["peak"]["value"] > 30
    assert "without gpu2, of which nothing is known" in ended.stdout and "without the largest" not in ended.stdout
    assert "Add a server" not in ended.stdout and "Have another" not in ended.stdout


def test_another_promise_judges_the_windows_again(here):
    keep(here / ".dgctl/bench")
    Path("group_vars/all/main.yml").write_text(MODELS + "deepgram_sla_stream_ms: 250\n")
    ended = run("--json")
    bench = json.loads(ended.stdout)["capacity"]["profiles"]["stt"]["servers"][0]["bench"]["streams"]
    assert (bench["holds"], bench["fails"]) == (20, 40)


def test_a_prometheus_that_tells_nothing_ends_with_7_and_its_cause(here):
    keep(here / ".dgctl/bench")
    with asked.prometheus(None, raw=b"<html>") as url:
        ended = run("--prometheus", url)
    assert ended.exit_code == 7 and "Prometheus tells nothing" in ended.output and "no JSON" in ended.output
    assert "gpu1    36     nine tenths of its bench" in ended.stdout, "what is known is told all the same"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--prometheus", "http://me:hunter2@prom"], "netrc"),
        (["--prometheus", "prom"], "http://HOST:PORT"),
        (["--limit", "gpu1"], "of all servers"),
        (["--days", "0"], "--days"),
    ],
)
def test_wrong_usage(here, words, says):
    ended = run(*words)
    assert ended.exit_code == 2 and says in ended.output and "hunter2" not in ended.output
