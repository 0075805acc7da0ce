"""A server of POST /v1/speak with a capacity that is known: one text after the other, each in the same time, and a limit.

Its answers are as Deepgram's page of the REST call has them with `container=none`: samples alone; 429 where it is full.
"""

import asyncio
import threading
from contextlib import contextmanager

from aiohttp import web

BYTES_A_SECOND = 48_000  # 24 kHz, 16 bits
SOUND = bytes(BYTES_A_SECOND * 2)
PIECE = 16_384


class Speaking:
    """`service_s`: what a text takes, so that it speaks 60 / service_s a minute. `late_s`: from the first byte to the last."""

    def __init__(self, service_s=0.0, limit=1000, late_s=0.0, sound=SOUND, cut=False):
        self.service_s, self.limit, self.late_s, self.sound, self.cut = service_s, limit, late_s, sound, cut
        self.live, self.free, self.asked = 0, 0.0, []

    async def speak(self, request):
        self.asked.append((dict(request.query), (await request.json())["text"]))
        if self.live >= self.limit:
            return web.json_response({"err_code": "TOO_MANY_REQUESTS"}, status=429)
        self.live += 1
        try:
            return await self.answer(request)
        finally:
            self.live -= 1

    async def answer(self, request):
        now = asyncio.get_running_loop().time()
        self.free = max(now, self.free) + self.service_s
        await asyncio.sleep(self.free - now)
        response = web.StreamResponse(headers={"Content-Type": "audio/l16"})
        await response.prepare(request)
        await response.write(self.sound[:PIECE])
        if self.cut:
            request.transport.abort()
            return response
        await asyncio.sleep(self.late_s)
        await response.write(self.sound[PIECE:])
        return response


@contextmanager
def speaking(**options):
    """(port, server) of one that runs in a thread of its own."""
    server, ready, found = Speaking(**options), threading.Event(), {}

    async def run():
        found["loop"], found["end"] = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_post("/v1/speak", server.speak)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        found["port"] = site._server.sockets[0].getsockname()[1]
        ready.set()
        await found["end"].wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(10)
    yield found["port"], server
    found["loop"].call_soon_threadsafe(found["end"].set)
    thread.join(10)
