"""What the proxies ask this node: GET /watch, with what they do with it; the answer says whether it is out.

A proxy needs no right here and this node none there: where nobody answers, the proxy judges by the API alone. The question
tells, in headers, how many of the other servers of the profile serve: without that a node does not take itself out.
"""

import contextlib
import http.server
import json
import re
import socket
import threading
import time

FRESH_S = 10  # a proxy asks every two seconds
NAMES_S = 60
OTHERS = re.compile(r"(\d{1,5})/(\d{1,5})")
STATES = ("up", "down", "drained")


class Proxies:
    """What the proxies told with their questions, by their address."""

    def __init__(self, names):
        self.names, self.reported, self.lock = names, {}, threading.Lock()
        self.addresses, self.until = set(), 0.0

    def may_ask(self, address, now):
        """Whether this is a proxy of the deployment; of a question of anybody else nothing is believed."""
        with self.lock:
            if now >= self.until:
                self.addresses, self.until = resolved(self.names) | {"127.0.0.1"}, now + NAMES_S
            return plain(address) in self.addresses

    def learn(self, address, state, others, now):
        """Takes a question in; one that does not say what it must is none that tells."""
        found = OTHERS.fullmatch(others or "")
        if state in STATES and found:
            with self.lock:
                self.reported[plain(address)] = {"state": state, "up": int(found[1]), "all": int(found[2]), "at": now}

    def lately(self, now):
        """What each proxy said that asked lately."""
        with self.lock:
            return tuple(dict(one) for one in self.reported.values() if now - one["at"] < FRESH_S)


def plain(address):
    """An IPv4 address in IPv6 as itself."""
    return address[7:] if address.startswith("::ffff:") else address


def resolved(names):
    found = set()
    for name in names:
        with contextlib.suppress(OSError, UnicodeError):
            found |= {entry[4][0] for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    return found


class Handler(http.server.BaseHTTPRequestHandler):
    """One question; `server` holds what is known."""

    timeout = 5

    def do_GET(self):
        server, now, address = self.server, time.monotonic(), self.client_address[0]
        if not server.proxies.may_ask(address, now):
            return self._say(403, {"error": "this address is no proxy of this node"})
        if self.path != "/watch":
            return self._say(404, {"error": "only /watch is here"})
        state, others = self.headers.get("X-Deepgram-State"), self.headers.get("X-Deepgram-Others")
        server.proxies.learn(address, state, others, now)
        self._say(200, server.answer)

    def _say(self, status, reported):
        body = json.dumps(reported).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        """Nothing: proxies ask again and again."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, port, proxies):
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), Handler)
        self.proxies, self.answer = proxies, {"out": False, "reason": ""}

    def handle_error(self, request, client_address):
        """Who hangs up is no news."""
