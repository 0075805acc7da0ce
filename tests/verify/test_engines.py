"""An Engine is proven when an API that asks it gives the known words, and the Engine's own metrics say that it answered."""

import random
import signal
import threading
import time
from pathlib import Path

import pytest
from testinfra.host import Host

from dgctl.base.ssh import Route
from dgctl.output.report import NO_API_YET
from dgctl.verify import engines, metrics, speech, tls
from dgctl.verify.checks import test_transcription
from dgctl.verify.connection import Connection, Other
from dgctl.verify.engines import Engine, Request, Trial
from dgctl.verify.expect import Expect, Unmet

MODEL = "nova-3-general"
SPEECH = {"batch": MODEL, "streaming": MODEL}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(engines, "PAUSE_S", 0.1)
    monkeypatch.setattr(engines, "_SETTLE_S", 0.1)


@pytest.fixture(scope="module")
def pair(bench):
    """Two Engines of the lab and the API that asks both."""
    found = [bench.engine(), bench.engine()]
    for engine in found:
        engine.wait_for("Listening on http")
    api = bench.api(*found)
    until = time.monotonic() + 10
    while "engines=2" not in api.output and time.monotonic() < until:
        time.sleep(0.2)
    return api, found


def here(route=None):
    """testinfra's host for this machine."""
    backend = Connection("here", route or Route("127.0.0.1"), {})
    backend.set_host(Host(backend))
    return backend._host


def desired(**changes):
    return {
        "deepgram_profile": "stt",
        "deepgram_verify_language": "en",
        "deepgram_container_engine": "docker",
        "deepgram_metrics_bind_address": "127.0.0.1",
        "deepgram_api_bind_address": "127.0.0.1",
        "speech": SPEECH,
        "flux": None,
    } | changes


def of_engine(program, **changes):
    return desired(deepgram_metrics_port=program.ports["metrics"], **changes)


def address(program):
    return f"localhost:{program.ports['work']}"


@pytest.fixture
def api_host(pair, tmp_path, monkeypatch):
    """others(name) -> the host of the pair's API, with its api.toml; another name is a host that cannot be reached."""
    api, programs = pair
    toml = tmp_path / "api.toml"
    monkeypatch.setattr(engines, "API_TOML", str(toml))
    toml.write_text("".join(f'[[driver_pool.standard]]\nurl = "https://{address(one)}/v2"\n' for one in programs))
    planned = {"route": {"login": []}, "desired": desired(deepgram_api_port=api.ports["http"])}
    missing = Route("192.0.2.1", problem="no way there")
    return lambda name: Other(name, planned, here() if name == "api1" else here(missing))


def checked(check, recording, **fixtures):
    """What a check records: {seen, expected}. Raises Unmet and pytest's skip."""
    reported = {}
    check(recording=recording, expect=Expect(reported.__setitem__), **fixtures)
    return reported


def of_one(program, recording, others, apis, **changes):
    return checked(
        test_transcription.test_engine,
        recording,
        host=here(),
        host_name="engine1",
        planned={"apis": apis},
        desired=of_engine(program, **changes),
        others=others,
    )


def unmet(check, *words, **named):
    """What a check says that fails; a skipped one would end the test as skipped."""
    try:
        passed = check(*words, **named)
    except Unmet as failure:
        return failure.reported
    except pytest.skip.Exception as skipped:
        pytest.fail(f"skipped: {skipped}")
    pytest.fail(f"passed: {passed}")


@pytest.mark.parametrize("modes", [("batch",), ("streaming",)])
def test_an_engine_is_proven_through_the_api_that_asks_it(pair, api_host, recording, modes):
    for program in pair[1]:
        reported = of_one(program, recording, api_host, {"api1": address(program)}, speech=dict.fromkeys(modes, MODEL))
        assert reported["seen"].startswith("engine1 (engine_requests_total ") and "through api1" in reported["seen"]


def test_what_fails_by_the_engine_s_own_checks_is_not_said_twice(pair, api_host, recording, monkeypatch):
    monkeypatch.setattr("dgctl.verify.ask.QUESTION_LIMIT_S", 1)
    program = pair[1][1]
    program.signal(signal.SIGSTOP)
    try:
        with pytest.raises(pytest.skip.Exception, match="follows from: the Engine's metrics"):
            of_one(program, recording, api_host, {"api1": address(program)})
    finally:
        program.signal(signal.SIGCONT)


def test_one_whose_api_never_reaches_it_fails_after_four_requests_an_engine(bench, pair, api_host, recording):
    """Its address is in api.toml, and nothing gets through: a firewall between, or it hangs behind its metrics."""
    stranger = bench.engine()
    stranger.wait_for("Listening on http")
    toml = Path(engines.API_TOML)
    toml.write_text(toml.read_text() + f'[[driver_pool.standard]]\nurl = "https://{address(stranger)}/v2"\n')
    reported = unmet(of_one, stranger, recording, api_host, {"api1": address(stranger)})
    assert (
        reported["seen"]
        == "engine1 (engine_requests_total 0 before, 0 after) did not answer in 12 requests through api1"
    )
    for word in (
        "deepgram-engine",
        "dgctl doctor --limit engine1",
        f"on api1: curl -kv https://{address(stranger)} ",
        "firewall",
    ):
        assert word in reported["fix"]


def test_no_api_asks_it_yet(pair, api_host, recording):
    program = pair[1][0]
    cases = {
        "api.toml does not name 192.0.2.7:8080": {"api1": "192.0.2.7:8080"},
        "api2: no way there": {"api1": "192.0.2.7:8080", "api2": "192.0.2.7:8080"},
        "deepgram_engine_addresses of no API": {},
    }
    for why, apis in cases.items():
        with pytest.raises(pytest.skip.Exception, match=f"{NO_API_YET}: .*{why}"):
            of_one(program, recording, api_host, apis)

    def stopped(name):
        other = api_host(name)
        return Other(name, {**other.planned, "desired": desired(deepgram_api_port=1)}, other.host)

    with pytest.raises(pytest.skip.Exception, match=f"{NO_API_YET}: api1: no API runs"):
        of_one(program, recording, stopped, {"api1": address(program)})
    Path(engines.API_TOML).unlink()
    with pytest.raises(pytest.skip.Exception, match=NO_API_YET):
        of_one(program, recording, api_host, {"api1": address(program)})


def test_another_api_is_taken_where_the_first_cannot_be_asked(pair, api_host, recording):
    program = pair[1][0]
    reported = of_one(program, recording, api_host, {"gone": address(program), "api1": address(program)})
    assert "through api1" in reported["seen"]


def test_an_engine_whose_apis_cannot_be_asked_at_all_is_not_proven(pair, api_host, recording):
    reported = unmet(of_one, pair[1][0], recording, api_host, {"gone": address(pair[1][0])})
    assert reported["seen"].startswith("gone: no way there")
    assert reported["fix"] == "dgctl verify --limit gone"


def test_an_engine_without_a_model_to_ask_for_is_skipped_for_another_reason(pair, api_host, recording):
    with pytest.raises(pytest.skip.Exception, match="deepgram_verify_model"):
        of_one(pair[1][0], recording, api_host, {"api1": address(pair[1][0])}, speech={})


def of_all(api, programs, recording, **named):
    """The check of an API's host: `named` are its Engines' programs."""
    planned = {
        name: {"desired": of_engine(program), "route": {"login": []}} for name, program in (programs | named).items()
    }
    return checked(
        test_transcription.test_engines,
        recording,
        host=here(),
        host_name="api1",
        planned={"engines": {address(program): name for name, program in programs.items()}},
        desired=desired(),
        others=lambda name: Other(name, planned[name], here()),
        entrance=tls.Proxy("127.0.0.1", api.ports["http"], "localhost", plain=True),
    )


def test_every_engine_of_an_api_is_proven(pair, recording):
    api, (one, two) = pair
    seen = of_all(api, {"engine1": one, "engine2": two}, recording)["seen"]
    assert "engine1 (" in seen and "engine2 (" in seen and "answered" in seen


def test_an_api_names_the_engines_that_never_answered(bench, pair, recording):
    api, (one, two) = pair
    stranger = bench.engine()
    stranger.wait_for("Listening on http")
    reported = unmet(of_all, api, {"engine1": one, "engine2": two, "engine3": stranger}, recording)
    assert reported["seen"].startswith(
        "engine3 (engine_requests_total 0 before, 0 after) did not answer in 12 requests"
    )
    assert "engine1" not in reported["seen"] + reported["fix"] and "doctor --limit engine3" in reported["fix"]


def test_an_engine_that_is_down_is_its_own_checks_affair(bench, pair, recording):
    api, (one, _) = pair
    dead = bench.engine()
    dead.wait_for("Listening on http")
    dead.kill()
    assert "engine3" not in of_all(api, {"engine1": one, "engine3": dead}, recording)["seen"]
    with pytest.raises(pytest.skip.Exception, match="follows from"):
        of_all(api, {"engine3": dead}, recording)


class Fleet:
    """Engines of which one answers each request, chosen by `order`; `deaf` ones are never chosen, `poor` hear badly."""

    def __init__(self, recording, size, order, deaf=(), poor=(), late=False):
        self.recording, self.order, self.poor, self.late = recording, order, poor, late
        self.counts, self.busy, self.sent = [0] * size, [0] * size, 0
        self.able = [number for number in range(size) if number not in deaf]
        self.lock, self.most = threading.Lock(), 0

    def send(self):
        with self.lock:
            chosen = self.able[self.order(self, [self.busy[number] for number in self.able])]
            self.busy[chosen] += 1
            self.sent += 1
            self.most = max(self.most, sum(self.busy))
        time.sleep(0.02)
        with self.lock:
            self.busy[chosen] -= 1
        if self.late:
            threading.Timer(0.05, self.count, [chosen]).start()
        else:
            self.count(chosen)
        return speech.Heard("mumble" if chosen in self.poor else " ".join(self.recording.words))

    def count(self, chosen):
        with self.lock:
            self.counts[chosen] += 1

    def engines(self):
        return [_Counted(f"e{number}", "a:1", None, desired(), fleet=self) for number in range(len(self.counts))]

    def run(self, until=60.0):
        made = self.engines()
        trial = Trial(made, len(made), "batch", self.recording, self.send)
        trial.run(time.monotonic() + until)
        return trial


class _Counted(Engine):
    def __init__(self, *fields, fleet):
        super().__init__(*fields)
        self.fleet = fleet

    def read(self, kind):
        self.now = self.fleet.counts[int(self.name[1:])]


def in_turn(fleet, busy):
    return fleet.sent % len(busy)


def least_busy(fleet, busy):
    return busy.index(min(busy))


def at_random(fleet, busy):
    return random.Random(fleet.sent).randrange(len(busy))


@pytest.mark.parametrize("order", [in_turn, least_busy, at_random])
@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_however_an_api_balances_each_of_its_engines_is_reached(recording, order, size):
    """Which of these orders Deepgram's API has is not published."""
    trial = (fleet := Fleet(recording, size, order)).run()
    assert trial.waiting == [] and fleet.sent <= engines.ROUNDS * size


def test_no_more_requests_than_needed(recording):
    fleet = Fleet(recording, 4, in_turn)
    assert fleet.run().waiting == [] and (fleet.sent, fleet.most) == (4, 1)


def test_an_engine_may_count_a_request_a_little_after_its_answer(recording):
    fleet = Fleet(recording, 1, in_turn, late=True)
    assert fleet.run().waiting == [] and fleet.sent == 1


def test_time_ends_it(recording):
    fleet = Fleet(recording, 4, in_turn, deaf=[3])
    assert len(fleet.run(until=-1).waiting) == 4 and fleet.sent == 0


@pytest.mark.parametrize("size", [3, 12])
def test_the_one_that_hears_badly_is_told_from_the_others(recording, size):
    fleet = Fleet(recording, size, in_turn, poor=[1])
    trial = fleet.run()
    assert [engine.name for engine in trial.waiting] == ["e1"] and "% of the words" in str(trial.waiting[0])
    assert fleet.sent <= engines.ROUNDS * size


def test_a_count_that_rises_beside_no_good_answer_is_no_proof(recording):
    """Somebody else's request, while this API refuses ours."""
    fleet = Fleet(recording, 1, in_turn)
    refused = Trial(fleet.engines(), 1, "batch", recording, lambda: (fleet.send(), speech.Heard(problem="HTTP 503"))[1])
    refused.run(time.monotonic() + 60)
    assert [one.name for one in refused.waiting] == ["e0"] and refused.last == "HTTP 503"


def test_an_engine_that_restarts_meanwhile_counts_from_nothing(recording):
    fleet = Fleet(recording, 1, in_turn)
    fleet.counts[0] = 50

    def send():
        fleet.counts[0] = 0 if fleet.counts[0] >= 50 else fleet.counts[0] + 1
        return speech.Heard(" ".join(recording.words))

    trial = Trial(fleet.engines(), 1, "batch", recording, send)
    trial.run(time.monotonic() + 60)
    assert not trial.waiting and trial.sent == 2


PAGE = """engine_requests_total{kind="batch",response_status="2xx"} 4
engine_requests_total{response_status="5xx",kind="batch"} 2
engine_requests_total{kind="stream",response_status="1xx"} 3 1700000000
"""


def test_samples_are_chosen_by_their_labels():
    assert metrics.value(PAGE, "engine_requests_total") == 9
    assert metrics.value(PAGE, "engine_requests_total", kind=["batch"]) == 6
    assert metrics.value(PAGE, "engine_requests_total", kind=["stream"], response_status=["1xx", "2xx"]) == 3
    assert metrics.value(PAGE, "engine_requests_total", kind=["tts"]) is None


@pytest.mark.parametrize(
    ("values", "request_"),
    [
        ({}, Request("batch", MODEL, "en")),
        ({"speech": {"streaming": MODEL}, "deepgram_verify_language": None}, Request("stream", MODEL, "en")),
        ({"speech": {}, "flux": "flux-general-en"}, Request("stream", "flux-general-en")),
        ({"speech": {}}, None),
    ],
)
def test_the_request_of_an_engine(values, request_):
    assert Request.of(desired(**values)) == request_
