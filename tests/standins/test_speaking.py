"""What speaks: /v1/speak, /v2/speak and the voice agent, with the real SDK and as verify asks; and what does not start."""

from __future__ import annotations

import threading

import pytest
from deepgram import DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment

from dgctl.verify import tls, voices
from lab.deepgram.models import SPEAKING, write_model
from lab.deepgram.programs.model_file import Model

from .bench import get

T2C, C2A = SPEAKING[0][3], SPEAKING[1][3]
FLUX = next(row[3] for row in SPEAKING if row[2] == "flux-tts")
AURA = {"IMPELLER_AURA2_T2C_UUID": T2C, "IMPELLER_AURA2_C2A_UUID": C2A, "IMPELLER_AURA2_MAX_BATCH_SIZE": "8"}
PROVIDERS = {"open_ai": {"name": "OpenAI", "models": {"gpt-4o-mini": {}}}}


@pytest.fixture(scope="module")
def files(bench, tmp_path_factory):
    """A folder of models that speak, and a server with two GPUs."""
    folder = tmp_path_factory.mktemp("speaking")
    for name, languages, kind, uuid, version in SPEAKING:
        write_model(folder / f"{name}.dg", Model(name, languages, "streaming", uuid, version, kind, size=2000))
    smi = bench.bin / "two" / "nvidia-smi"
    smi.parent.mkdir()
    lines = "".join(f"GPU {number}: Tesla T4 (UUID: GPU-000{number})\\n" for number in range(2))
    smi.write_text(f'#!/bin/sh\ncase "$1" in\n-L) printf "{lines}";;\n*) echo 580.173.02;;\nesac\n')
    smi.chmod(0o755)
    dev = bench.dev / "two"
    dev.mkdir()
    for number in range(2):
        (dev / f"nvidia{number}").touch()
    environment = {"PATH": f"{smi.parent}:{bench.environment()['PATH']}", "STANDIN_DEV": str(dev)}
    return {"model_manager": {"search_paths": [str(folder)]}}, environment


@pytest.fixture(scope="module")
def aura(bench, files):
    models, two = files
    engine = bench.engine(models, **two, **AURA)
    engine.wait_for("Listening on http")
    return engine, bench.api(engine)


@pytest.fixture(scope="module")
def flux_tts(bench, files):
    models, _ = files
    engine = bench.engine({**models, "flux_tts": {"enabled": True, "uuid": FLUX, "max_batch_size": 16}})
    engine.wait_for("Listening on http")
    return engine, bench.api(engine, changes={"features": {"speak_v2": True, "speak_v2_streaming": True}})


@pytest.fixture(scope="module")
def agent(bench, files, aura):
    models, _ = files
    ears, turns = bench.engine(), bench.engine(models)
    for engine in (ears, turns):
        engine.wait_for("Listening on http")
    flags = {"streaming_stt": ears, "tts": aura[0], "eot": turns}
    pool = [
        {
            "url": f"https://localhost:{engine.ports['work']}/v2",
            "retry_sleep": "20ms",
            **{name: name == flag for name in flags},
        }
        for flag, engine in flags.items()
    ]
    return bench.api(changes={"driver_pool": {"standard": pool}})


def place(api):
    return tls.Proxy("127.0.0.1", api.ports["http"], "127.0.0.1", plain=True)


def sdk(api):
    base = f"http://127.0.0.1:{api.ports['http']}"
    stream = base.replace("http", "ws", 1)
    return DeepgramClient(
        api_key="x", environment=DeepgramClientEnvironment(base=base, production=stream, agent=stream, agent_rest=base)
    )


def test_the_real_client_gets_speech(aura):
    sound = b"".join(sdk(aura[1]).speak.v1.audio.generate(text="Hello there", model="aura-2-thalia-en"))
    assert sound[:2] == b"\xff\xfb" and len(sound) > 4000  # MP3 frames
    raw = b"".join(
        sdk(aura[1]).speak.v1.audio.generate(
            text="Hello", model="aura-2-thalia-en", encoding="linear16", container="wav"
        )
    )
    assert raw[:4] == b"RIFF"


def test_the_real_client_gets_a_stream_of_speech(aura):
    sound, reported, closed = [], [], threading.Event()
    with sdk(aura[1]).speak.v1.connect(model="aura-2-thalia-en", encoding="linear16", sample_rate=24000) as connection:
        connection.on(EventType.MESSAGE, lambda one: (sound if isinstance(one, bytes) else reported).append(one))
        connection.on(EventType.CLOSE, lambda _: closed.set())
        threading.Thread(target=connection.start_listening, daemon=True).start()
        connection.send_text(type_of(connection, "Speak", "Hello there"))
        connection.send_flush()
        connection.send_close()
        assert closed.wait(10)
    assert [one.type for one in reported] == ["Metadata", "Flushed"] and sum(map(len, sound)) > 20_000
    assert reported[0].model_uuid == T2C


def type_of(connection, kind, text):
    from deepgram.speak.v1.types import SpeakV1Text

    return SpeakV1Text(type=kind, text=text)


@pytest.mark.parametrize(("model", "status"), [("aura-2-celeste-es", 400), ("aura-2-thalia-fr", 400), ("nova-3", 400)])
def test_a_voice_of_another_language_is_not_there(aura, model, status):
    with pytest.raises(ApiError) as caught:
        b"".join(sdk(aura[1]).speak.v1.audio.generate(text="Hola", model=model))
    assert caught.value.status_code == status


def test_verify_hears_each(aura, flux_tts, agent):
    assert voices.speak(place(aura[1]), "/v1/speak", "aura-2-thalia-en").is_enough
    assert voices.speak(place(flux_tts[1]), "/v2/speak", "flux-haley-en").is_enough
    assert voices.converse(place(agent), "aura-2-thalia-en", PROVIDERS).is_enough
    assert voices.converse(place(agent), "aura-2-thalia-en", {}).is_enough


def test_verify_says_why_not(aura, flux_tts):
    assert "HTTP 400" in voices.speak(place(aura[1]), "/v1/speak", "aura-2-celeste-es").problem
    assert "HTTP 404" in voices.speak(place(aura[1]), "/v2/speak", "flux-haley-en").problem
    assert "HTTP 404" in voices.converse(place(flux_tts[1]), "aura-2-thalia-en", PROVIDERS).problem


def test_the_engine_counts_its_speech(aura):
    voices.speak(place(aura[1]), "/v1/speak", "aura-2-thalia-en")
    page = get(aura[0], "/metrics", "metrics").text
    assert 'engine_requests_total{kind="tts",response_status="2xx"}' in page


@pytest.mark.parametrize(
    ("changes", "environment", "words"),
    [
        ({}, AURA, "insufficient devices for inferencer configuration"),  # one GPU (issue 109)
        ({"flux_tts": {"enabled": True, "uuid": FLUX, "max_batch_size": 0}}, {}, "max_batch_size must be non-zero"),
        ({"flux_tts": {"enabled": True, "uuid": "0" * 8, "max_batch_size": 1}}, {}, "not found"),
        (
            {"flux_tts": {"enabled": True, "uuid": FLUX, "max_batch_size": 1}},
            AURA,
            "cannot be configured on the same Engine",
        ),
    ],
)
def test_what_cannot_work_does_not_start(bench, files, changes, environment, words):
    engine = bench.engine({**files[0], **changes}, **environment)
    engine.wait_for(words)
    assert engine.ended() != 0


def test_an_agent_s_engines_do_their_own_work_alone(agent):
    with pytest.raises(ApiError) as caught:
        sdk(agent).listen.v1.media.transcribe_file(request=b"RIFF", model="nova-3")
    assert caught.value.status_code in (400, 503)
