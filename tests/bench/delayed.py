"""A stream server with a latency that is known, and a limit: answers each half second of sound so long after it was complete.

It speaks as Deepgram's streaming page has it (Results with start, duration, is_final; CloseStream).
"""

import asyncio
import json
import threading
from contextlib import contextmanager
from http import HTTPStatus

from websockets.asyncio.server import serve

from dgctl.bench import recording

STEP_S, BYTES_A_SECOND = 0.5, 32000
SOUND = recording.load()


def words(start):
    """The words of the recording, over and over, that lie in the half second from `start` on."""
    first, last = (int(at / SOUND.round_s * len(SOUND.words) + 1e-6) for at in (start, start + STEP_S))
    return " ".join(SOUND.words[number % len(SOUND.words)] for number in range(first, last))


class Delayed:
    def __init__(self, latency_s, limit=1000, stall_after=None):
        self.latency_s, self.limit, self.stall_after, self.live = latency_s, limit, stall_after, 0

    def refuse(self, connection, request):
        return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "busy\n") if self.live >= self.limit else None

    async def talk(self, socket):
        self.live += 1
        received, answered, pending = 0, 0.0, set()
        try:
            async for message in socket:
                if isinstance(message, str):
                    break
                received += len(message)
                while received / BYTES_A_SECOND >= answered + STEP_S:
                    pending.add(asyncio.create_task(self.answer(socket, answered)))
                    answered += STEP_S
        finally:
            self.live -= 1
            for task in pending:
                task.cancel()

    async def answer(self, socket, start):
        await asyncio.sleep(self.latency_s)
        reported = {"type": "Results", "start": start, "duration": STEP_S, "is_final": True}
        await socket.send(json.dumps(reported | {"channel": {"alternatives": [{"transcript": words(start)}]}}))


@contextmanager
def delayed(latency_s, **options):
    """(port, server) of one that runs in a thread of its own."""
    server, ready, found = Delayed(latency_s, **options), threading.Event(), {}

    async def run():
        found["loop"], found["end"] = asyncio.get_running_loop(), asyncio.Event()
        async with serve(server.talk, "127.0.0.1", 0, process_request=server.refuse) as listening:
            found["port"] = listening.sockets[0].getsockname()[1]
            ready.set()
            await found["end"].wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    ready.wait(10)
    yield found["port"], server
    found["loop"].call_soon_threadsafe(found["end"].set)
    thread.join(10)
