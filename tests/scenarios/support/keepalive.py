"""Callers that keep their connections and are never idle: each sends its next request as soon as it has an answer."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.scenarios.support.servers import PROJECT, Server

PATH = "/v1/listen?model=nova-3-general&keyterm=dead%20line"
AUDIO = (PROJECT / "dgctl/verify/audio/life-moves-pretty-fast.wav").read_bytes()


@dataclass
class Callers:
    """`connections`: how many were opened; `broken`: what came instead of an answer."""

    address: str
    answered: int = 0
    connections: int = 0
    broken: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def call(self) -> None:
        # Whose server it is, other tests ask; a handshake costs the same.
        tls = ssl._create_unverified_context()
        connection = None
        while not self.stop.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPSConnection(self.address, context=tls, timeout=30)
                    self.connections += 1
                connection.request("POST", PATH, AUDIO, {"Content-Type": "audio/wav"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.broken.append(f"HTTP {answer.status}")
                self.answered += 1
                connection = None if answer.will_close else connection
            except (OSError, http.client.HTTPException) as error:
                self.broken.append(repr(error))
                connection = None


@contextmanager
def callers(proxy: Server, count: int) -> Iterator[Callers]:
    """So many of them on a proxy while the block runs."""
    made = Callers(proxy.address)
    threads = [threading.Thread(target=made.call) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        made.stop.set()
        for thread in threads:
            thread.join()
