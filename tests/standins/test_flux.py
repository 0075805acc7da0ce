"""/v2/listen of the stand-in API: Flux's turns, with the real deepgram-sdk and without; and who is refused."""

from __future__ import annotations

import json
from itertools import pairwise

import httpx
import pytest
from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v2.types import ListenV2Connected, ListenV2TurnInfo
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from lab.deepgram import models as files
from lab.deepgram.models import write_model
from lab.deepgram.programs.model_file import Model

from .bench import ROOT, get
from .calls import TEXT, WAV, metric, send_file, until

NAME = "flux-general-en"
QUERY = f"model={NAME}&encoding=linear16&sample_rate=16000"
SOUND = WAV.read_bytes()[44:]
STEP = 8000  # bytes: a quarter of a second
CLOSE = '{"type":"CloseStream"}'


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A directory with a Flux model alone, as its Engine wants it."""
    folder = tmp_path_factory.mktemp("flux")
    identity = "00000000-0000-4000-8000-00000000000f"
    write_model(folder / f"{NAME}.en.streaming.fffffff.dg", Model(NAME, ["en"], "streaming", identity, "1", size=5000))
    return {"search_paths": [str(folder)]}


@pytest.fixture(scope="module")
def flux(bench, models):
    """An Engine and an API of a node with the profile flux."""
    engine = bench.engine({"model_manager": models, "flux": {"enabled": True, "max_streams": 3}})
    engine.wait_for("Finished prewarming Flux model")
    engine.wait_for("Listening on http")
    return engine, bench.api(engine, changes={"features": {"listen_v2": True}})


def turns(api, query: str = QUERY):
    return connect(f"ws://127.0.0.1:{api.ports['http']}/v2/listen?{query}")


def refused(api, query: str = QUERY) -> tuple[int, dict]:
    with pytest.raises(InvalidStatus) as caught:
        turns(api, query)
    return caught.value.response.status_code, json.loads(caught.value.response.body)


def heard(api, sound: bytes) -> list[dict]:
    """Every message of a stream that is closed right after its sound."""
    with turns(api) as socket:
        socket.send(sound)
        socket.send(CLOSE)
        return list(until_closed(socket))


def until_closed(socket):
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            yield json.loads(socket.recv(timeout=10))
    assert caught.value.rcvd.code == 1005  # a close without a status, as the documentation has it


def until_event(socket, event: str) -> list[dict]:
    """The messages up to the first of this event."""
    messages = [json.loads(socket.recv(timeout=10))]
    while messages[-1].get("event") != event:
        messages.append(json.loads(socket.recv(timeout=10)))
    return messages


def plain(text: str) -> str:
    return text.lower().replace(".", "").replace(",", "")


def events(messages: list[dict]) -> list[str]:
    return [one["event"] for one in messages if one["type"] == "TurnInfo"]


def test_sdk(flux):
    url = f"http://127.0.0.1:{flux[1].ports['http']}"
    stream = url.replace("http", "ws", 1)
    places = DeepgramClientEnvironment(base=url, production=stream, agent=stream, agent_rest=url)
    client = DeepgramClient(api_key="anything", environment=places)
    with client.listen.v2.connect(model=NAME, encoding="linear16", sample_rate=16000) as connection:
        assert isinstance(connection.recv(), ListenV2Connected)
        for at in range(0, len(SOUND), STEP):
            connection.send_media(SOUND[at : at + STEP])
        reported = [connection.recv()]
        while reported[-1].event != "EndOfTurn":
            reported.append(connection.recv())
        connection.send_close_stream()
    assert all(isinstance(one, ListenV2TurnInfo) for one in reported)
    assert "StartOfTurn" in [one.event for one in reported] and reported[-1].trigger == "model"
    assert plain(reported[-1].transcript) == TEXT
    assert reported[-1].words[0].word == "Life" and 0 < reported[-1].words[0].start < reported[-1].words[0].end < 1


def test_messages_of_a_stream(flux):
    messages = heard(flux[1], SOUND)
    assert messages[0]["type"] == "Connected"
    assert [one["sequence_id"] for one in messages] == list(range(len(messages)))
    assert {one["request_id"] for one in messages} == {messages[0]["request_id"]}
    ends = [one["audio_window_end"] for one in messages[1:]]
    assert ends == sorted(ends) and ends[-1] == pytest.approx(len(SOUND) / 32000, abs=0.01)
    assert len(messages) > len(SOUND) / STEP  # one for each quarter of a second


def test_close_stream_ends_no_turn(flux):
    """Whatever the pause at its end: all that was said is in the last Update."""
    messages = heard(flux[1], SOUND + bytes(4 * STEP))
    assert set(events(messages)) == {"Update"}
    assert plain(messages[-1]["transcript"]) == TEXT


def test_eager_end_of_turn_matches_what_follows(flux):
    with turns(flux[1], f"{QUERY}&eager_eot_threshold=0.3&eot_threshold=0.9") as socket:
        socket.send(SOUND + bytes(4 * STEP))
        messages = until_event(socket, "EndOfTurn")
    eager = [at for at, one in enumerate(messages) if one.get("event") == "EagerEndOfTurn"]
    assert messages[eager[-1]]["transcript"] == messages[-1]["transcript"] != ""
    for first, following in pairwise(eager):
        assert "TurnResumed" in events(messages[first:following])


def test_turns_driven_by_the_client(flux):
    """With a threshold of 1.0 no pause ends a turn: ForceEndTurn does, once."""
    with turns(flux[1], f"{QUERY}&eot_threshold=1.0") as socket:
        socket.send(SOUND)
        messages = [json.loads(socket.recv(timeout=10))]
        while messages[-1].get("audio_window_end", 0) < len(SOUND) / 32000 - 0.5:
            messages.append(json.loads(socket.recv(timeout=10)))
        assert "EndOfTurn" not in events(messages)
        socket.send('{"type":"ForceEndTurn"}')
        socket.send('{"type":"ForceEndTurn"}')
        socket.send(CLOSE)
        rest = list(until_closed(socket))
    ends = [one for one in rest if one["event"] == "EndOfTurn"]
    assert [one["trigger"] for one in ends] == ["manual"] and plain(ends[0]["transcript"]) == TEXT
    assert rest[-1]["turn_index"] == 1


def test_configure(flux):
    with turns(flux[1]) as socket:
        socket.recv()
        socket.send('{"type":"Configure","thresholds":{"eot_threshold":0.9}}')
        reported = json.loads(socket.recv(timeout=5))
        assert (reported["type"], reported["thresholds"]["eot_threshold"]) == ("ConfigureSuccess", 0.9)
        socket.send('{"type":"Configure","thresholds":{"eot_threshold":9}}')
        assert json.loads(socket.recv(timeout=5))["type"] == "ConfigureFailure"


@pytest.mark.parametrize("text", ["nonsense", '{"type":"Finalize"}', '["CloseStream"]'])
def test_a_message_that_flux_does_not_know(flux, text):
    with turns(flux[1]) as socket:
        socket.recv()
        socket.send(text)
        assert json.loads(socket.recv(timeout=5))["code"] == "UNPARSABLE_CLIENT_MESSAGE"
        assert not list(until_closed(socket))


def test_streams_are_counted_and_limited(flux):
    engine, api = flux
    with turns(api), turns(api), turns(api):
        assert get(api, "/v1/status").json()["active_listen_v2_stream_requests"] == 3
        assert refused(api)[0] == 503
    until(lambda: metric(engine, 'engine_active_requests{kind="stream"}') == 0)
    assert heard(api, SOUND[:STEP])[0]["type"] == "Connected"


@pytest.mark.parametrize(
    ("query", "code", "reported"),
    [
        ("model=flux-general-multi", "Bad Request", "No such model"),
        ("model=nova-3-general", "Bad Request", "No such model"),
        ("", "Bad Request", "No such model"),
        (f"model={NAME}&eot_threshold=0.2", "INVALID_QUERY_PARAMETER", "`eot_threshold` must be between 0.5 and 1.0"),
        (f"model={NAME}&eot_timeout_ms=soon", "INVALID_QUERY_PARAMETER", "soon"),
    ],
)
def test_what_flux_cannot_do_is_refused(flux, query, code, reported):
    status, body = refused(flux[1], query)
    assert (status, body["err_code"]) == (400, code) and reported in body["err_msg"]
    assert body.keys() == {"err_code", "err_msg", "request_id"}


def test_no_files(flux):
    url = f"http://127.0.0.1:{flux[1].ports['http']}/v2/listen?model={NAME}"
    assert httpx.post(url, content=WAV.read_bytes(), timeout=10).status_code == 405


def test_flux_is_not_for_v1(flux, pair):
    for api in (flux[1], pair[1]):
        answer = send_file(api, f"model={NAME}")
        assert (answer.status_code, answer.json()["err_code"]) == (400, "V2_MODEL_ON_V1_LISTEN_ENDPOINT")
        url = f"ws://127.0.0.1:{api.ports['http']}/v1/listen?{QUERY}"
        with pytest.raises(InvalidStatus) as caught, connect(url):
            pass
        assert caught.value.response.status_code == 400


def test_a_node_of_another_profile(bench, pair, models, tmp_path):
    """Each half alone is not enough: the API without listen_v2, the Engine without [flux]. Without its model it ends."""
    status, body = refused(pair[1])
    assert status == 404 and "listen_v2" in body["err_msg"]
    off = bench.engine({"model_manager": models})
    empty = bench.engine({"model_manager": {"search_paths": [str(tmp_path)]}, "flux": {"enabled": True}})
    off.wait_for("Listening on http")
    api = bench.api(off, changes={"features": {"listen_v2": True}})
    assert refused(api)[0] == 400
    api.kill()
    off.kill()
    assert empty.ended() == 1
    assert "Can't find flux-general-en model" in empty.output and "Flux model" not in off.output


def test_the_model_server_has_it_and_no_server_fetches_it_unasked(tmp_path, monkeypatch):
    """docs/lab.md says how one asks for it."""
    monkeypatch.setattr(files, "TABLE", files.TABLE[-1:])
    usual, name = files.write_models(tmp_path), files.file_name(*files.FLUX[:3])
    assert {path.name for path in tmp_path.iterdir()} == {
        *usual,
        name,
        *files.speaking_files().values(),
    } and name not in usual
    assert f"https://models.lab.test/{name}" in (ROOT / "docs" / "lab.md").read_text()
