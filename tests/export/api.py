"""An API that a proxy sends requests to: it says how it is, answers requests, echoes streams, and counts what it has."""

import base64
import contextlib
import hashlib
import json
import select
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def accepted(key):
    """RFC 6455, section 4.2.2; HAProxy answers 502 for a server that says something else."""
    return base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        # The body of developers.deepgram.com/docs/self-hosted-status-endpoint. Which status comes with Critical nobody
        # says, so it comes with 200: only the body tells.
        if self.path == "/v1/status":
            return self.say(200, {"system_health": self.server.health, "active_batch_requests": 0})
        with self.server.counted(self):
            if self.headers.get("Upgrade", "").lower() == "websocket":
                return self.echo()
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.server.hold.wait(20)
            time.sleep(self.server.takes_s)
            return self.say(self.server.status, {"by": self.server.name, "path": self.path})

    do_POST = do_GET

    def say(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def echo(self):
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accepted(self.headers["Sec-WebSocket-Key"]))
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            while part := self.connection.recv(100):
                self.connection.sendall(part)

    def log_message(self, *_):
        pass


class Api(ThreadingHTTPServer):
    """`health`: what /v1/status says; `hold`: requests wait for it; `most`: the most that it ever had at a time."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name):
        super().__init__(("127.0.0.1", 0), Handler)
        self.name, self.health, self.status, self.takes_s = name, "Healthy", 200, 0.0
        self.hold, self.lock = threading.Event(), threading.Lock()
        self.hold.set()
        self.now = self.most = 0
        self.heard = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @contextlib.contextmanager
    def counted(self, request):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.heard.append((request.path, {key.lower(): value for key, value in request.headers.items()}))
        try:
            yield
        finally:
            with self.lock:
                self.now -= 1

    @property
    def address(self):
        return f"127.0.0.1:{self.server_port}"

    def stop(self):
        """Takes no new connection; what it has goes on, as Deepgram's containers do after their stop signal."""
        self.shutdown()
        while select.select([self.socket], [], [], 0)[0]:  # closed with these unaccepted, the kernel would reset them
            self._handle_request_noblock()
        self.socket.close()
