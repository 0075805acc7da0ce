"""The proof: a known recording comes back as its words, as a file and as a live stream.

Through the host's NGINX; on a server behind the proxies of others, from its API itself.
"""

import httpx
import pytest
from websockets.exceptions import WebSocketException

from dgctl.verify import speech

GROUPS = ("api", "proxy")
LOOK = "tail /var/log/nginx/deepgram.error.log"


@pytest.fixture(scope="module")
def recording():
    return speech.Recording.shipped()


def model_for(mode, wanted):
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
    model = model_for("streaming", wanted)
    try:
        heard = speech.transcribe_stream(entrance, recording, model, wanted["deepgram_verify_language"] or "en")
    except (OSError, WebSocketException) as problem:
        heard = speech.Heard(problem=speech.refusal(problem))
    delay = heard.median_delay()
    note = f"{len(heard.delays)} results, median delay {delay * 1000:.0f} ms" if delay is not None else "no result"
    judge(heard, recording, f"{model}, {note}", look, expect)
