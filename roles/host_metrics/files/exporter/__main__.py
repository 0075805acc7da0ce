"""Figures of this server for Prometheus: its own at /metrics, and at /relay/NAME those of programs that listen on loopback.

deepgram-metrics: serves them, as /etc/deepgram-metrics.json says. Nobody may read but those named there.
"""

import http.server
import json
import signal
import sys
import threading

import access
import ask
import collectors
import page

CONFIG = "/etc/deepgram-metrics.json"


class Handler(http.server.BaseHTTPRequestHandler):
    """One request; `server` holds what there is to tell."""

    protocol_version = "HTTP/1.1"
    timeout = 30  # of a caller that says nothing

    def do_GET(self):
        allowed, parts, relays = self.server.allowed, self.server.parts, self.server.relays
        path = self.path.partition("?")[0]
        if not allowed(self.client_address[0]):
            self.answer(403, "this address may not read: see host_metrics_allow\n")
        elif path == "/metrics":
            whole = page.Page()
            for part in parts:
                part.tell(whole)
            self.answer(200, whole.text(), page.CONTENT_TYPE)
        elif path.startswith("/relay/") and path[len("/relay/") :] in relays:
            self.relay(relays[path[len("/relay/") :]])
        else:
            self.answer(404, "".join(f"{known}\n" for known in ["/metrics", *(f"/relay/{name}" for name in relays)]))

    def relay(self, url):
        try:
            body, kind = ask.get(url, accept=self.headers.get("Accept", "*/*"))
        except ask.Silent as error:
            self.answer(502, f"{error}\n")
        else:
            self.answer(200, body, kind)

    def answer(self, status, body, kind="text/plain; charset=utf-8"):
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        """Nothing: Prometheus asks several times a minute."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, config):
        super().__init__((config["address"], int(config["port"])), Handler)
        self.allowed = access.Allowed(config["allow"])
        self.relays = config["relays"]
        self.parts = collectors.collectors(config)

    def handle_error(self, request, client_address):
        """A caller that hangs up is no news."""


def main():
    try:
        with open(sys.argv[1] if len(sys.argv) > 1 else CONFIG, encoding="utf-8") as stream:
            server = Server(json.load(stream))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"deepgram-metrics: {error}; provision this server again")
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    collectors.start(server.parts)
    server.serve_forever()


if __name__ == "__main__":
    main()
