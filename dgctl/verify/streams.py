"""Transcribes a known recording as a live stream: /v1/listen with interim results, or /v2/listen with Flux's turns.

One thread does all of it. websockets' other client reads in a thread of its own, and OpenSSL is not made for that: what is
written while another thread reads a ticket of TLS 1.3 is lost, so now and then a server never saw the request.
"""

from __future__ import annotations

import asyncio
import json
import time
import wave
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from dgctl.verify import tls
from dgctl.verify.speech import Heard, Recording, first_transcript

CHUNK_S, SPEED = 0.02, 4
# The API answers only when an Engine has taken the stream, and asks them in rounds, with seconds between.
_ANSWER_LIMIT_S, _STREAM_LIMIT_S = 30, 60
# The ends of a conversation that are none of a broken one; Flux closes without a status, which counts as 1005.
_GOOD_ENDS, _NO_STATUS = (1000, 1001), 1005


def transcribe_stream(proxy: tls.Proxy, recording: Recording, model: str, language: str) -> Heard:
    """WebSocket /v1/listen with interim results, at SPEED times the speed of speech.

    The delay of a result is the time since the audio that it ends with was sent. Raises OSError, or websockets'
    own errors, when no stream comes about: see speech.refusal.
    """
    with wave.open(str(recording.path)) as sound:
        asked = {"model": model, "language": language, "channels": sound.getnchannels(), "interim_results": "true"}
    return asyncio.run(_converse(proxy, "/v1/listen", asked, recording, _Results()))


def transcribe_turns(proxy: tls.Proxy, recording: Recording, model: str) -> Heard:
    """WebSocket /v2/listen; the rest as transcribe_stream. Flux knows one channel, and has its language in its name."""
    return asyncio.run(_converse(proxy, "/v2/listen", {"model": model}, recording, _Turns()))


class _Words(Protocol):
    """What makes text of the messages of one path."""

    def take(self, reported: dict[str, Any]) -> float | None:
        """Notes a message; the position (s) in the recording up to which it tells, None when it tells of none."""

    def text(self) -> str: ...

    def well_ended(self, end: ConnectionClosed, all_sent: bool) -> bool: ...


class _Results:
    """The final results of /v1/listen, which closes with a status."""

    def __init__(self) -> None:
        self.finals: list[str] = []

    def take(self, reported: dict[str, Any]) -> float | None:
        if reported.get("type") != "Results":
            return None
        if reported.get("is_final"):
            self.finals.append(first_transcript({"channels": [reported.get("channel")]}))
        return float(reported.get("start", 0)) + float(reported.get("duration", 0))

    def text(self) -> str:
        return " ".join(self.finals)

    def well_ended(self, end: ConnectionClosed, all_sent: bool) -> bool:
        return end.rcvd is not None and end.rcvd.code in _GOOD_ENDS


class _Turns:
    """The turns of /v2/listen. CloseStream ends none, so of each its last transcript counts, an Update's too."""

    def __init__(self) -> None:
        self.turns: dict[int, str] = {}

    def take(self, reported: dict[str, Any]) -> float | None:
        if reported.get("type") != "TurnInfo":
            return None
        self.turns[int(reported.get("turn_index", 0))] = str(reported.get("transcript") or "")
        return float(reported.get("audio_window_end", 0))

    def text(self) -> str:
        return " ".join(self.turns[index] for index in sorted(self.turns) if self.turns[index])

    def well_ended(self, end: ConnectionClosed, all_sent: bool) -> bool:
        # Whether a close frame without a status comes, or none, is not documented.
        return all_sent and (end.rcvd is None or end.rcvd.code in (*_GOOD_ENDS, _NO_STATUS))


@dataclass
class _Sent:
    """When each chunk of the recording went out (monotonic seconds), and whether all did."""

    chunk_bytes: int
    times: list[float] = field(default_factory=list)
    all: bool = False

    def at(self, position_s: float) -> float | None:
        """When the audio at this position went out; None when the service names a position that was never
        sent.
        """
        index = max(0, round(position_s / CHUNK_S) - 1)
        return self.times[index] if index < len(self.times) else None


async def _converse(proxy: tls.Proxy, path: str, asked: dict[str, Any], recording: Recording, words: _Words) -> Heard:
    with wave.open(str(recording.path)) as sound:
        rate, frame = sound.getframerate(), sound.getnchannels() * sound.getsampwidth()
        audio = sound.readframes(sound.getnframes())
    query = urlencode(asked | {"encoding": "linear16", "sample_rate": rate})
    heard, started = Heard(), time.monotonic()
    async with AsyncExitStack() as open_ones:
        try:
            stream = await open_ones.enter_async_context(opening(proxy, f"{path}?{query}"))
        except TimeoutError:
            return Heard(problem=f"connected, but no answer to the request for {path} within {_ANSWER_LIMIT_S} s")
        heard.opened_s = time.monotonic() - started
        sent = _Sent(int(rate * CHUNK_S) * frame)
        sender = asyncio.create_task(_speak(stream, audio, sent))
        await _listen(stream, sent, heard, words, _STREAM_LIMIT_S + recording.seconds / SPEED)
        sender.cancel()
    heard.text, heard.seconds = words.text(), time.monotonic() - started
    return heard


def opening(proxy: tls.Proxy, path: str) -> connect:
    """The connection's handshakes, made on entry. Raises TimeoutError when they take too long."""
    try:
        wire = proxy.connect()
    except TimeoutError as problem:
        raise ConnectionError(f"no connection within {tls.TIMEOUT_S} s") from problem
    return connect(
        f"{'ws' if proxy.plain else 'wss'}://{proxy.authority}{path}",
        sock=wire,
        additional_headers=proxy.credentials,
        **({} if proxy.plain else {"ssl": tls.context(proxy), "server_hostname": proxy.name}),
        proxy=None,
        open_timeout=_ANSWER_LIMIT_S,
        close_timeout=5,
    )


async def _speak(stream: ClientConnection, audio: bytes, sent: _Sent) -> None:
    started = time.monotonic()
    try:
        for number, offset in enumerate(range(0, len(audio), sent.chunk_bytes)):
            await asyncio.sleep(max(0.0, started + number * CHUNK_S / SPEED - time.monotonic()))
            await stream.send(audio[offset : offset + sent.chunk_bytes])
            sent.times.append(time.monotonic())
        sent.all = True
        await stream.send('{"type":"CloseStream"}')
    except ConnectionClosed:
        # The listening side says why.
        return


async def _listen(stream: ClientConnection, sent: _Sent, heard: Heard, words: _Words, limit_s: float) -> None:
    """Collects what the service says until it closes the stream, or for `limit_s`."""
    started = last = time.monotonic()
    messages = 0
    try:
        async with asyncio.timeout(limit_s):
            while True:
                reported = json.loads(await stream.recv())
                messages, last = messages + 1, time.monotonic()
                _note(reported, sent, heard, words)
    except ConnectionClosed as end:
        if not words.well_ended(end, sent.all):
            after = f"after {time.monotonic() - started:.1f} s and {_count(messages)}"
            heard.problem = heard.problem or f"the stream broke {after}: {end}"
    except TimeoutError:
        seen = f"{_count(messages)}, the last after {last - started:.1f} s" if messages else _count(messages)
        out = "CloseStream sent" if sent.all else f"only {len(sent.times) * CHUNK_S:.1f} s of the recording sent"
        heard.problem = f"the stream did not end within {limit_s:.0f} s: {out}, {seen}"


def _count(messages: int) -> str:
    return "1 message" if messages == 1 else f"{messages or 'no'} messages"


def _note(reported: dict[str, Any], sent: _Sent, heard: Heard, words: _Words) -> None:
    if reported.get("type") == "Error":
        heard.problem = str(reported.get("description") or reported.get("message") or reported)[:300]
    position = words.take(reported)
    went_out = sent.at(position) if position is not None else None
    if went_out is not None:
        heard.delays.append(time.monotonic() - went_out)
