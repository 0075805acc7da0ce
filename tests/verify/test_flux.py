"""The check of a server of the profile flux: which model it asks for, and what it makes of the turns it hears."""

import re

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import Close

from dgctl.verify import speech, streams, tls
from dgctl.verify.checks import test_transcription
from dgctl.verify.desired import desired
from dgctl.verify.expect import NO_CONCERN, Expect, Unmet
from lab.deepgram.models import write_model
from lab.deepgram.programs.model_file import Model
from tests.verify import loopback
from tests.verify.loopback import NAME, Forward

MODEL = "flux-general-en"


@pytest.fixture(scope="module")
def flux(bench, tmp_path_factory):
    """The lab's API with an Engine of the profile flux, behind a TLS proxy with a self-signed certificate."""
    folder = tmp_path_factory.mktemp("flux")
    write_model(folder / f"{MODEL}.en.streaming.fffffff.dg", Model(MODEL, ["en"], "streaming", "f", "1", size=5000))
    engine = bench.engine({"model_manager": {"search_paths": [str(folder)]}, "flux": {"enabled": True}})
    engine.wait_for("Listening on http")
    api = bench.api(engine, changes={"features": {"listen_v2": True}})
    pem, file = loopback.self_signed(folder)
    with Forward(loopback.server_context(file), api.ports["http"]) as forward:
        yield tls.Proxy("127.0.0.1", forward.port, NAME, pem)


def test_turns_are_transcribed_and_their_delay_measured(flux, recording):
    heard = streams.transcribe_turns(flux, recording, MODEL)
    assert (heard.problem, heard.share(recording)) == ("", 1.0)
    assert recording.seconds / streams.SPEED * 0.9 < heard.seconds < recording.seconds * 2
    assert len(heard.delays) > 3 and 0 <= heard.median_delay() < 2


def test_a_model_that_is_not_there_is_told_in_the_service_s_words(flux, recording):
    with pytest.raises(InvalidStatus) as caught:
        streams.transcribe_turns(flux, recording, "flux-general-multi")
    assert speech.refusal(caught.value).startswith("HTTP 400: Bad Request: No such model")


def turn(event, index, transcript):
    return {"type": "TurnInfo", "event": event, "turn_index": index, "transcript": transcript, "audio_window_end": 1.0}


def test_of_each_turn_its_last_transcript_counts():
    words = streams._Turns()
    assert words.take({"type": "Connected"}) is None
    reported = [
        turn("StartOfTurn", 0, "Life"),
        turn("EndOfTurn", 0, "Life moves."),
        turn("Update", 1, "If"),
        turn("Update", 1, "If you"),
    ]
    assert [words.take(one) for one in reported] == [1.0] * 4
    assert words.take(turn("Update", 2, "")) == 1.0
    assert words.text() == "Life moves. If you"


@pytest.mark.parametrize(
    ("code", "all_sent", "good"),
    [(1005, True, True), (1000, True, True), (None, True, True), (1011, True, False), (1005, False, False)],
)
def test_flux_may_close_without_a_status_once_all_was_sent(code, all_sent, good):
    end = ConnectionClosedError(code and Close(code, ""), None)
    assert streams._Turns().well_ended(end, all_sent) == good


@pytest.mark.parametrize(
    ("values", "model"),
    [
        ({}, MODEL),
        ({"deepgram_models_links": ["https://m/flux-general-multi.9f.dg"]}, "flux-general-multi"),
        ({"deepgram_verify_model": "flux-general-multi"}, "flux-general-multi"),
        # The links are every server's: the role's default takes the first.
        (
            {
                "deepgram_verify_model": "nova-3-general",
                "deepgram_models_links": [
                    "https://m/nova-3-general.en.batch.1.dg",
                    "https://m/flux-general-multi.1.dg",
                ],
            },
            "flux-general-multi",
        ),
        ({"deepgram_engine_settings": {"flux": {"model_name": "flux-general-multi"}}}, "flux-general-multi"),
        # What the Engine was told to serve counts, whichever link is the first.
        (
            {
                "deepgram_flux_model": "flux-general-multi",
                "deepgram_verify_model": "flux-general-en",
                "deepgram_models_links": ["https://m/flux-general-en.1.dg", "https://m/flux-general-multi.1.dg"],
            },
            "flux-general-multi",
        ),
    ],
)
def test_the_model_of_a_server_of_the_profile_flux(values, model):
    made = desired({"deepgram_profile": "flux"} | values)
    assert (made["flux"], made["speech"]) == (model, {})


def test_a_flux_model_is_none_for_the_other_profiles():
    links = ["https://m/flux-general-en.en.streaming.1.dg", "https://m/nova-3-general.en.streaming.2.dg"]
    made = desired({"deepgram_profile": "stt", "deepgram_models_links": links, "deepgram_verify_model": MODEL})
    assert (made["flux"], made["speech"]) == (None, {"streaming": "nova-3-general"})


def checked(check, entrance, recording, **values):
    """What a check records: {seen, expected}."""
    reported = {}
    check(entrance, recording, desired(values), "look", Expect(reported.__setitem__))
    return reported


def test_a_flux_server_is_asked_for_turns_alone(flux, recording):
    reported = checked(test_transcription.test_flux, flux, recording, deepgram_profile="flux")
    pace = rf"100% of the words, {MODEL}, opened in \d\.\d s, \d+ results, median delay \d+ ms: "
    assert re.match(pace, reported["seen"])
    for check in (test_transcription.test_file, test_transcription.test_stream):
        with pytest.raises(pytest.skip.Exception, match=NO_CONCERN):
            checked(check, flux, recording, deepgram_profile="flux")
    with pytest.raises(pytest.skip.Exception, match=NO_CONCERN):
        checked(test_transcription.test_flux, flux, recording, deepgram_profile="stt")


def test_an_api_without_flux_does_not_pass(bench, recording):
    """Both halves of the profile are needed: this API has no listen_v2."""
    engine = bench.engine()
    engine.wait_for("Listening on http")
    plain = tls.Proxy("127.0.0.1", bench.api(engine).ports["http"], NAME, plain=True)
    with pytest.raises(Unmet) as caught:
        checked(test_transcription.test_flux, plain, recording, deepgram_profile="flux")
    assert caught.value.reported["seen"].startswith("HTTP 404: ")


def test_what_a_service_says_of_itself_is_the_problem():
    heard = speech.Heard()
    error = {"type": "Error", "code": "INTERNAL_SERVER_ERROR", "description": "An internal server error occurred"}
    streams._note(error, streams._Sent(640), heard, streams._Turns())
    assert heard.problem == "An internal server error occurred"
