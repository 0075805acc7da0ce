"""The proof: a known recording comes back as its words, as a file and as a live stream; from Flux as turns.

Through the host's NGINX; on a server behind the proxies of others, from its API itself.
"""

import httpx
import pytest
from websockets.exceptions import WebSocketException

from dgctl.verify import speech, streams
from dgctl.verify.expect import NO_CONCERN

GROUPS = ("api", "proxy")
LOOK = "tail /var/log/nginx/deepgram.error.log"


@pytest.fixture(scope="module")
def recording():
    return speech.Recording.shipped()


def model_for(mode, wanted):
    if wanted["deepgram_profile"] == "flux":
        pytest.skip(NO_CONCERN)
    if wanted["deepgram_profile"] not in (None, "stt"):
        pytest.skip(f"no test request for the profile {wanted['deepgram_profile']} yet")
    if not wanted["speech"]:
        pytest.skip(
            "no model in deepgram_models_links transcribes speech in deepgram_verify_language; "
            "name one in deepgram_verify_model"
        )
    if mode not in wanted["speech"]:
        pytest.skip(f"no {mode} model in deepgram_models_links")
    return wanted["speech"][mode]


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


def test_file(entrance, recording, wanted, look, expect):
    model = model_for("batch", wanted)
    try:
        heard = speech.transcribe_file(entrance, recording, model, wanted["deepgram_verify_language"] or "en")
    except httpx.HTTPError as problem:
        heard = speech.Heard(problem=speech.refusal(problem))
    factor = recording.seconds / heard.seconds if heard.seconds else 0
    judge(heard, recording, f"{model}, {factor:.0f} x real time", look, expect)


def test_stream(entrance, recording, wanted, look, expect):
    model, language = model_for("streaming", wanted), wanted["deepgram_verify_language"] or "en"
    heard = attempt(lambda: streams.transcribe_stream(entrance, recording, model, language))
    judge(heard, recording, f"{model}, {pace(heard)}", look, expect)


def test_flux(entrance, recording, wanted, look, expect):
    """On a proxy beside the other checks, when servers of both profiles are behind it."""
    if not wanted["flux"]:
        pytest.skip(NO_CONCERN)
    heard = attempt(lambda: streams.transcribe_turns(entrance, recording, wanted["flux"]))
    judge(heard, recording, f"{wanted['flux']}, {pace(heard)}", look, expect)


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
