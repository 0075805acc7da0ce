"""A caller of the deployment: files and one live stream through a server's NGINX, whose certificate is checked."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from websockets.sync.client import connect

from tests.scenarios.support.servers import PROJECT, Server

RECORDING = PROJECT / "dgctl/verify/audio/life-moves-pretty-fast.wav"
PCM = RECORDING.read_bytes()[44:]
RATE, STEP_S = 16000, 0.1
QUERY = "model=nova-3-general"


def trusted(front: Server, folder: Path) -> ssl.SSLContext:
    """Trusts the certificate that this server's NGINX has, and nothing else."""
    certificate = folder / f"{front.name}.crt"
    certificate.write_text(front.sh("cat /etc/nginx/tls/deepgram.crt"))
    context = ssl.create_default_context(cafile=str(certificate))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an authority's is trusted itself too, without its root
    return context


def transcribe(front: Server, folder: Path) -> httpx.Response:
    """One file; the name in the certificate is the server's in the inventory, which this machine cannot resolve."""
    with httpx.Client(verify=trusted(front, folder), timeout=60) as client:
        return client.post(
            f"https://{front.address}/v1/listen?{QUERY}",
            content=RECORDING.read_bytes(),
            headers={"Host": front.name, "Content-Type": "audio/wav"},
            extensions={"sni_hostname": front.name},
        )


@dataclass
class LiveStream:
    """Audio at its own speed for so many seconds. `messages`: what came back; `error`: what ended it before its end."""

    front: Server
    folder: Path
    seconds: float
    messages: list[dict] = field(default_factory=list)
    error: str = ""

    def __enter__(self) -> LiveStream:
        self._open = threading.Event()
        self._thread = threading.Thread(target=self._stream)
        self._thread.start()
        assert self._open.wait(20), self.error or "no connection"
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(self.seconds + 60)

    @property
    def duration(self) -> float:
        """Seconds of audio that the last message, Metadata, says were heard."""
        last = self.messages[-1] if self.messages else {}
        return last["duration"] if last.get("type") == "Metadata" else 0.0

    def _stream(self) -> None:
        name = self.front.name
        uri = f"wss://{name}/v1/listen?{QUERY}&encoding=linear16&sample_rate={RATE}"
        try:
            connection = socket.create_connection((self.front.address, 443), 10)
            with connect(uri, sock=connection, ssl=trusted(self.front, self.folder), server_hostname=name) as live:
                self._open.set()
                sender = threading.Thread(target=self._send, args=(live,))
                sender.start()
                self.messages = [json.loads(message) for message in live]
                sender.join()
        except Exception as error:  # whatever it is, the test that asks for the stream's end says it
            self.error = repr(error)

    def _send(self, live) -> None:
        size, started = int(RATE * STEP_S) * 2, time.monotonic()
        for step in range(int(self.seconds / STEP_S)):
            time.sleep(max(0.0, started + step * STEP_S - time.monotonic()))
            at = step * size % (len(PCM) - size)
            live.send(PCM[at : at + size])
        live.send(json.dumps({"type": "CloseStream"}))
