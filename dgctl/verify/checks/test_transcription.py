"""The proof: a known recording comes back as its words, as a file and as a live stream; from Flux as turns.

Through the host's NGINX; on a server behind the proxies of others, from its API itself. An Engine without an API beside
it is asked through an API that uses it, and an API of remote Engines is asked until each of them has answered.
"""

import time
from functools import partial

import httpx
import pytest
from websockets.exceptions import WebSocketException

from dgctl.base.words import count
from dgctl.verify import engines, speech, streams, topology, voices
from dgctl.verify.desired import made_with
from dgctl.verify.engines import Engine, Request, Trial
from dgctl.verify.expect import NO_CONCERN
from dgctl.verify.facts import api_port

GROUPS = ("api", "proxy")
LOOK = "tail /var/log/nginx/deepgram.access.log"


@pytest.fixture(scope="module")
def recording():
    return speech.Recording.shipped()


def model_for(mode, desired):
    if desired["deepgram_profile"] not in (None, "stt"):
        pytest.skip(NO_CONCERN)
    if not desired["speech"]:
        pytest.skip(
            "no model in deepgram_models_links transcribes speech in deepgram_verify_language; "
            "name one in deepgram_verify_model"
        )
    if mode not in desired["speech"]:
        pytest.skip(f"no {mode} model in deepgram_models_links")
    return desired["speech"][mode]


@pytest.fixture(scope="module")
def look(planned, parts, runtime):
    """Where to look when it fails."""
    return "; ".join([LOOK] * ("tls" in planned["groups"]) + [runtime.logs("api")] * ("api" in parts))


def judge(heard, recording, note, look, expect):
    share = heard.share(recording)
    seen = heard.problem or f'{share:.0%} of the words, {note}: "{heard.text[:120]}"'
    expect(
        seen,
        f"at least {speech.ENOUGH_WORDS:.0%} of the {len(recording.words)} known words",
        look,
        ok=not heard.problem and share >= speech.ENOUGH_WORDS,
    )


def test_file(entrance, recording, desired, look, expect):
    model = model_for("batch", desired)
    try:
        heard = speech.transcribe_file(entrance, recording, model, desired["deepgram_verify_language"] or "en")
    except httpx.HTTPError as problem:
        heard = speech.Heard(problem=speech.refusal(problem))
    factor = recording.seconds / heard.seconds if heard.seconds else 0
    judge(heard, recording, f"{model}, {factor:.0f} x real time", look, expect)


def test_stream(entrance, recording, desired, look, expect):
    model, language = model_for("streaming", desired), desired["deepgram_verify_language"] or "en"
    heard = attempt(lambda: streams.transcribe_stream(entrance, recording, model, language))
    judge(heard, recording, f"{model}, {pace(heard)}", look, expect)


def test_flux(entrance, recording, desired, look, expect):
    """On a proxy beside the other checks, when servers of both profiles are behind it."""
    if not desired["flux"]:
        pytest.skip(NO_CONCERN)
    heard = attempt(lambda: streams.transcribe_turns(entrance, recording, desired["flux"]))
    judge(heard, recording, f"{desired['flux']}, {pace(heard)}", look, expect)


def test_speech(entrance, desired, look, expect):
    """A text comes back as sound, from each kind of voice that is served."""
    if made_with(desired["deepgram_profile"]) == "voices" and not desired["voices"]:
        pytest.skip("the name of a voice is not known; name one in deepgram_verify_voice")
    if not desired["voices"]:
        pytest.skip(NO_CONCERN)
    spoken = {voice["model"]: voices.speak(entrance, voice["path"], voice["model"]) for voice in desired["voices"]}
    seen = "; ".join(f"{model}: {one}" for model, one in spoken.items())
    expect(seen, f"at least {voices.LEAST_S:.0f} s of sound", look, ok=all(one.is_enough for one in spoken.values()))


def test_agent(entrance, desired, look, expect):
    """The voice agent welcomes, and where a language model is configured, greets with sound."""
    if not desired["agent"]:
        pytest.skip(NO_CONCERN)
    reported = voices.converse(entrance, desired["agent"]["voice"], desired["agent"]["providers"])
    expect(reported, "a greeting", look, ok=reported.is_enough)


def attempt(stream):
    """What was heard, or why there was no stream at all."""
    try:
        return stream()
    except (OSError, WebSocketException) as problem:
        return speech.Heard(problem=speech.refusal(problem))


def pace(heard):
    delay, opened = heard.median_delay(), f"opened in {heard.opened_s:.1f} s"
    if delay is None:
        return f"{opened}, no result"
    return f"{opened}, {len(heard.delays)} results, median delay {delay * 1000:.0f} ms"


def test_engine(host, host_name, planned, desired, others, recording, expect):
    """Through the first API that asks this Engine; where none does yet, test_engines of that API proves it."""
    request = Request.of(desired) or model_for("batch", desired)
    try:
        api, address, size = engines.knowing(planned["apis"], others)
    except engines.NotYet as reason:
        pytest.skip(str(reason))
    send = partial(request.send, api_port(api.planned), recording)
    trial = Trial([Engine(host_name, address, host, desired)], size, request.kind, recording, send)
    trial.run(time.monotonic() + engines.LIMIT_S)
    if not trial.engines:
        pytest.skip("follows from: the Engine's metrics cannot be read")
    judge_engines([trial], api.name, expect)


test_engine.groups = (topology.ENGINE_ONLY,)


def test_engines(host, host_name, planned, desired, others, entrance, recording, expect):
    """Every Engine of this deployment that the API asks, each with a model of its own.

    Not one whose metrics cannot be read from the start: its own checks say so.
    """
    until, trials = time.monotonic() + engines.LIMIT_S, {}
    for address, name in planned["engines"].items():
        own = name == host_name
        theirs = desired if own or not name else others(name).planned["desired"]
        request = Request.of(theirs) if name else None
        if request:
            send = partial(request.send, entrance, recording)
            trial = trials.setdefault(request, Trial([], len(planned["engines"]), request.kind, recording, send))
            trial.engines.append(Engine(name, address, host if own else others(name).host, theirs))
    for trial in trials.values():
        trial.run(until)
    if not any(trial.engines for trial in trials.values()):
        pytest.skip("follows from: none of its Engines can be asked for its metrics, or transcribes")
    judge_engines(trials.values(), host_name, expect)


test_engines.groups = (topology.REMOTE_ENGINES,)


def judge_engines(trials, api, expect):
    silent = [engine for trial in trials for engine in trial.waiting]
    known = [str(engine) for trial in trials for engine in trial.engines]
    sent, last = sum(trial.sent for trial in trials), "; ".join(filter(None, (trial.last for trial in trials)))
    asked = f"{count(sent, 'request')} through {api}"
    missing = f"{', '.join(map(str, silent))} did not answer in {asked}{', the last: ' + last if last else ''}"
    fix = "; ".join(
        f"on {one.name}: {one.logs}; on {api}: curl -kv https://{one.address} (is a firewall between?); "
        f"dgctl doctor --limit {one.name}"
        for one in silent
    )
    seen = missing if silent else f"{', '.join(known)} answered, {asked}"
    expect(seen, "a transcription by each Engine", fix, ok=not silent)
