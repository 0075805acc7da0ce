"""Every product on one server, and Deepgram's own SDK for each of their paths."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from deepgram import AsyncDeepgramClient, DeepgramClientEnvironment
from deepgram.agent.v1.types import AgentV1Settings
from deepgram.core.events import EventType

from lab.deepgram.models import speaking_files
from tests.scenarios.support.servers import Server
from tests.scenarios.test_03_real_client import RECORDING, WORDS, resolve_for_this_process

GPU = "nvidia.com/gpu={}".format
MODELS = "https://models.lab.test/"
FLUX_TTS = {"flux_tts_uuid": "9c3cc12c-c0a2-4966-8676-f9fa22ab5401", "flux_tts_max_batch_size": 16}
ENGINES: list[dict[str, Any]] = [
    {"name": "a", "gpus": [GPU(0)], "max_active_requests": 20},
    {"name": "b", "gpus": [GPU(1)], "max_active_requests": 20},
    {"name": "turns", "profile": "flux", "gpus": [GPU(2)], "flux_max_streams": 10},
    {"name": "voice", "profile": "aura", "gpus": [GPU(3), GPU(4)]},
    {"name": "fluent", "profile": "flux_tts", "gpus": [GPU(5)], **FLUX_TTS},
    {"name": "ears", "profile": "agent", "agent_kind": "stt", "gpus": [GPU(6)]},
    {"name": "mouth", "profile": "agent", "agent_kind": "tts", "gpus": [GPU(7), GPU(8)]},
    {"name": "pause", "profile": "agent", "agent_kind": "eot", "gpus": [GPU(9)]},
]
PROVIDERS = {
    "open_ai": {
        "name": "OpenAI",
        "models": {"gpt-4o-mini": {"name": "GPT-4o mini", "tier": "standard", "public": True}},
    }
}
SECRET = "sk-lab-secret-of-a-language-model"


def settings(links: list[str]) -> dict[str, Any]:
    speaking = [
        MODELS + speaking_files()[name]
        for name in ("aura-2.voice-pack.en", "aura-2.generator.en", "flux-tts.en", "end-of-turn.en")
    ]
    flux = MODELS + "flux-general-en.en.streaming.6e5fc14.dg"
    return {
        "deepgram_engines": ENGINES,
        "deepgram_models_links": [*links, flux, *speaking],
        "deepgram_agent_llm_providers": PROVIDERS,
        "deepgram_api_environment_secret": {"OPENAI_API_KEY": SECRET},
        "deepgram_api_tls": True,
    }


SOUND: dict[str, Any] = {"encoding": "linear16", "sample_rate": 16000}
ANSWERED_S = 20
PAUSE_S = 0.5  # between two calls of a kind: what serves has two cores here, with all servers
_SPOKEN = {"encoding": "linear16", "sample_rate": 24000}
AGENT = {
    "type": "Settings",
    "audio": {"input": SOUND, "output": {**_SPOKEN, "container": "none"}},
    "agent": {
        "listen": {"provider": {"type": "deepgram", "model": "nova-3"}},
        "think": {"provider": {"type": "open_ai", "model": "gpt-4o-mini"}},
        "speak": {"provider": {"type": "deepgram", "model": "aura-2-thalia-en"}},
        "greeting": "Hello, this is a test.",
    },
}


def client_of(proxy: Server, folder: Path, monkeypatch: Any) -> AsyncDeepgramClient:
    """Deepgram's SDK, which asks this proxy by its name and believes its certificate alone.

    The one for asyncio: the other reads and writes one TLS connection from two threads, and of some hundred calls
    one gets lost in Python's ssl module.
    """
    certificate = folder / "deepgram.crt"
    certificate.write_text(proxy.sh("cat /etc/nginx/tls/deepgram.crt"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    resolve_for_this_process(monkeypatch, {proxy.name: proxy.address})
    http, ws = f"https://{proxy.name}", f"wss://{proxy.name}"
    places = DeepgramClientEnvironment(base=http, production=ws, agent=ws, agent_rest=http)
    context = ssl.create_default_context(cafile=str(certificate))
    plain = httpx.AsyncClient(verify=context, timeout=60)
    return AsyncDeepgramClient(api_key="any", environment=places, httpx_client=plain)


async def is_transcribed(client: AsyncDeepgramClient) -> bool:
    answer = await client.listen.v1.media.transcribe_file(
        request=RECORDING.read_bytes(), model="nova-3-general", smart_format=True
    )
    return words(answer.results.channels[0].alternatives[0].transcript) == WORDS


async def is_streamed(client: AsyncDeepgramClient) -> bool:
    finals: list[str] = []

    def hear(message: Any) -> bool:
        if message.type == "Results" and message.is_final:
            finals.append(message.channel.alternatives[0].transcript)
        return message.type == "Metadata"

    async with client.listen.v1.connect(**SOUND, model="nova-3-general") as stream:
        await heard(stream, hear, recording(stream))
    return words(" ".join(finals)) == WORDS


async def are_turns_heard(client: AsyncDeepgramClient) -> bool:
    """CloseStream ends no turn, so of each its last transcript counts, an Update's too."""
    turns: dict[int, str] = {}

    def hear(message: Any) -> bool:
        if message.type == "TurnInfo":
            turns[message.turn_index] = message.transcript
        return False  # the server closes

    async with client.listen.v2.connect(**SOUND, model="flux-general-en") as stream:
        await heard(stream, hear, recording(stream))
    return words(" ".join(turns[index] for index in sorted(turns))) == WORDS


async def is_spoken(client: AsyncDeepgramClient) -> bool:
    pieces = client.speak.v1.audio.generate(text="Hello there", model="aura-2-thalia-en")
    return b"".join([piece async for piece in pieces])[:2] == b"\xff\xfb"


async def is_spoken_fluently(client: AsyncDeepgramClient) -> bool:
    options = {"encoding": "linear16", "container": "none", "sample_rate": 24000}
    pieces = client.speak.v2.audio.generate(text="Hello there", model="flux-haley-en", **options)
    return len(b"".join([piece async for piece in pieces])) > 10_000


async def is_greeted(client: AsyncDeepgramClient) -> bool:
    """The agent says Welcome first, takes the settings, and greets with sound."""
    reported: list[str] = []
    sound = bytearray()

    def hear(message: Any) -> bool:
        if isinstance(message, bytes):
            sound.extend(message)
            return False
        reported.append(message.type)
        return message.type == "AgentAudioDone"

    async with client.agent.v1.connect() as talk:
        await heard(talk, hear, talk.send_settings(AgentV1Settings(**AGENT)))
    return reported[0] == "Welcome" and "SettingsApplied" in reported and len(sound) > 10_000


async def heard(connection: Any, hear: Callable[[Any], bool], sending: Coroutine[Any, Any, None]) -> None:
    """Sends, and gives every message to `hear`, until that is content or the server closes."""
    done = asyncio.Event()
    connection.on(EventType.MESSAGE, lambda message: done.set() if hear(message) else None)
    connection.on(EventType.CLOSE, lambda _: done.set())
    listening = asyncio.ensure_future(connection.start_listening())
    try:
        await sending
        await asyncio.wait_for(done.wait(), ANSWERED_S)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def recording(stream: Any) -> None:
    """The recording, faster than it was spoken."""
    pcm = RECORDING.read_bytes()[44:]
    for start in range(0, len(pcm), 3200):
        await stream.send_media(pcm[start : start + 3200])
        await asyncio.sleep(0.02)
    await stream.send_close_stream()


def words(text: str) -> list[str]:
    return [word.strip(".,?") for word in text.lower().split()]


CALLS = {
    "file": is_transcribed,
    "stream": is_streamed,
    "turns": are_turns_heard,
    "speech": is_spoken,
    "fluent speech": is_spoken_fluently,
    "agent": is_greeted,
}


@dataclass
class Calls:
    """How many of each kind were answered rightly, and what went wrong."""

    right: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def answered(client: AsyncDeepgramClient, kind: str) -> bool:
    """One call of this kind."""
    return asyncio.run(CALLS[kind](client))


@contextmanager
def calling(client: AsyncDeepgramClient, *kinds: str) -> Iterator[Calls]:
    """A row of calls of each of these kinds, one after the other, until the block ends."""
    calls, over = Calls(), threading.Event()

    async def row(kind: str) -> None:
        while not over.is_set():
            try:
                wrong = "" if await CALLS[kind](client) else "another answer"
            except Exception as problem:  # whatever the SDK makes of it, the call is lost
                wrong = f"{type(problem).__name__}: {problem}"
            if wrong:
                calls.wrong.append(f"{time.strftime('%H:%M:%S')} {kind}: {wrong}")
            else:
                calls.right[kind] += 1
            await asyncio.sleep(PAUSE_S)

    async def rows() -> None:
        await asyncio.gather(*map(row, kinds))

    callers = threading.Thread(target=lambda: asyncio.run(rows()))
    callers.start()
    try:
        yield calls
    finally:
        over.set()
        callers.join()
