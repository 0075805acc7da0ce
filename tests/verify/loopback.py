"""TLS servers on loopback with certificates of any kind, some of which speak to a stream of audio."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import socket
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Response

from tests import tls_server

NAME = "gpu1.example.test"


def self_signed(folder: Path, name: str = NAME, days: int = 100) -> tuple[str, Path]:
    """A self-signed certificate, valid for `days` more (negative: expired). Returns PEM and the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject, now = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        datetime.datetime.now(datetime.UTC),
    )
    names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=200))
        .not_valid_after(now + datetime.timedelta(days=days, minutes=5))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / f"{name}.{days}.pem"
    file.write_text(pem + private.decode())
    return pem, file


def server_context(file: Path, oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2, protocols=("http/1.1",)):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    if oldest < ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = oldest
    context.set_alpn_protocols(list(protocols))
    return context


@dataclass
class Service:
    """A server in a thread: answers GETs with `status`, streams with `words`; notes what it was asked."""

    context: ssl.SSLContext
    words: list[str] = field(default_factory=list)
    status: int = 403
    close_early: bool = False
    never_close: bool = False
    asked: list[dict] = field(default_factory=list)
    heard_bytes: int = 0
    port: int = 0

    def __enter__(self):
        ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait(5)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(5)

    def _run(self, ready):
        self.loop.run_until_complete(self._serve(ready))

    async def _serve(self, ready):
        self.stop = asyncio.Event()
        made = serve(self._stream, "127.0.0.1", 0, ssl=self.context, process_request=self._page, close_timeout=0.2)
        async with made as server:
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await self.stop.wait()

    def _page(self, connection, request):
        self.asked.append({"path": request.path, "host": request.headers.get("Host")})
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return None
        return Response(self.status, "X", Headers({"Content-Length": "2", "Connection": "close"}), b"no")

    async def _stream(self, socket):
        query = parse_qs(urlsplit(socket.request.path).query)
        second = int(query["sample_rate"][0]) * int(query["channels"][0]) * 2
        async for message in socket:
            if isinstance(message, bytes):
                self.heard_bytes += len(message)
                if self.close_early and self.heard_bytes > second / 2:
                    await socket.close(1011, "NET-0001")
                    return
                continue
            if json.loads(message)["type"] == "CloseStream":
                break
        if self.never_close:
            await self.stop.wait()
        half = len(self.words) // 2
        at = self.heard_bytes / second
        await socket.send(json.dumps(result("x", 0, at / 2, final=False)))
        await socket.send(json.dumps(result(" ".join(self.words[:half]), 0, at / 2)))
        await socket.send(json.dumps(result(" ".join(self.words[half:]), at / 2, at / 2)))
        await socket.send(json.dumps({"type": "Metadata", "duration": at}))


def result(text: str, start: float, duration: float, final: bool = True) -> dict:
    channel = {"alternatives": [{"transcript": text, "confidence": 0.99, "words": []}]}
    return {"type": "Results", "start": start, "duration": duration, "is_final": final, "channel": channel}


@contextmanager
def page(context: ssl.SSLContext, status: int, body: bytes):
    """A web server that answers every POST with one page; gives its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        tls_server.secure(server, context)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class Silent:
    """Takes one connection, TLS too where there is a context, and says nothing to what it is asked, for SECONDS."""

    SECONDS = 6

    def __init__(self, context: ssl.SSLContext | None):
        self.context, self.done = context, threading.Event()

    def __enter__(self) -> int:
        self.listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._take, daemon=True).start()
        return self.listening.getsockname()[1]

    def __exit__(self, *_):
        self.done.set()

    def _take(self):
        with self.listening, self.listening.accept()[0] as wire:
            held = self.context.wrap_socket(wire, server_side=True) if self.context else wire
            self.done.wait(self.SECONDS)
            held.close()


class Forward:
    """Ends TLS in front of a plain server on loopback, as the proxy does."""

    def __init__(self, context: ssl.SSLContext, target: int, path: str = ""):
        """`path`: listen on this socket, as the end of a tunnel, and not on a port."""
        self.context, self.target, self.port, self.path = context, target, 0, path

    def __enter__(self):
        ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self.thread.start()
        ready.wait(5)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(5)

    async def _serve(self, ready):
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        if self.path:
            server = await asyncio.start_unix_server(self._join, self.path, ssl=self.context)
        else:
            server = await asyncio.start_server(self._join, "127.0.0.1", 0, ssl=self.context)
            self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self.stop.wait()
        server.close()

    async def _join(self, reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(_pour(reader, inner_writer), _pour(inner_reader, writer))


async def _pour(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
