"""WebSocket /v1/agent/converse: the voice agent, where Engines of all three kinds are attached.

Simulated: it greets, hears a turn and answers in its own words; no language model is asked.
"""

from __future__ import annotations

import asyncio
import json

from aiohttp import WSMsgType, web

from .. import pool
from ..pool import WORK
from . import api_speak

NEEDED = WORK
TURN_BYTES = 96_000  # three seconds at 16 kHz: so much sound is a turn here
ANSWER = "I heard you."


def attached(engines: pool.Pool) -> list[str]:
    """What of the three kinds of Engine is not there: STT, TTS and end of turn."""
    has = {flag for engine in engines.connected for flag in (engine.flags or {})}
    return [kind for kind in NEEDED if kind not in has]


class Conversation:
    """One client's talk."""

    def __init__(self, request: web.Request, engines: pool.Pool, request_id: str):
        self._request, self._engines, self._id = request, engines, request_id
        self._client = web.WebSocketResponse(compress=False)
        self._voice, self._rate, self._heard = "", 24_000, 0

    @property
    def response(self) -> web.WebSocketResponse:
        return self._client

    async def run(self) -> int:
        await self._client.prepare(self._request)
        await self._client.send_json({"type": "Welcome", "request_id": self._id})
        async for message in self._client:
            if message.type == WSMsgType.BINARY:
                await self._listen(len(message.data))
            elif message.type == WSMsgType.TEXT:
                await self._obey(json.loads(message.data))
        return 200

    async def _obey(self, asked: dict) -> None:
        if asked.get("type") == "Settings":
            agent = asked.get("agent") or {}
            speak = agent.get("speak") or {}
            provider = (speak[0] if isinstance(speak, list) else speak).get("provider") or {}
            self._voice = str(provider.get("model", ""))
            self._rate = int(((asked.get("audio") or {}).get("output") or {}).get("sample_rate") or self._rate)
            await self._client.send_json({"type": "SettingsApplied"})
            if agent.get("greeting"):
                await self._say(str(agent["greeting"]))
        elif asked.get("type") == "InjectUserMessage":
            await self._answer(str(asked.get("content", "")))
        elif asked.get("type") != "KeepAlive":
            await self._client.send_json({"type": "Warning", "code": "UNKNOWN", "description": "unknown message"})

    async def _listen(self, count: int) -> None:
        if not self._heard:
            await self._client.send_json({"type": "UserStartedSpeaking"})
        self._heard += count
        if self._heard >= TURN_BYTES:
            self._heard = 0
            await self._answer("(sound)")

    async def _answer(self, reported: str) -> None:
        await self._client.send_json({"type": "ConversationText", "role": "user", "content": reported})
        await self._client.send_json({"type": "AgentThinking", "content": ""})
        await self._say(ANSWER)

    async def _say(self, text: str) -> None:
        try:
            samples, _ = await api_speak.sound(self._engines, self._voice, text, self._rate)
        except api_speak.Refused as refused:
            error = {"type": "Error", "code": "FAILED_TO_SPEAK", "description": str(refused.args[2])}
            await self._client.send_json(error)
            return
        await self._client.send_json({"type": "ConversationText", "role": "assistant", "content": text})
        await self._client.send_json(
            {"type": "AgentStartedSpeaking", "total_latency": 0.1, "tts_latency": 0.05, "ttt_latency": 0.05}
        )
        for at in range(0, len(samples), 1 << 14):
            await self._client.send_bytes(samples[at : at + (1 << 14)])
            await asyncio.sleep(0)
        await self._client.send_json({"type": "AgentAudioDone"})
