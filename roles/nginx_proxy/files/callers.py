#!/usr/bin/python3
"""Says whether a caller of the proxy may ask, and who it is: NGINX asks this before it hands a request on (auth_request).

  deepgram-callers serve      answers on the socket that systemd hands over
  deepgram-callers own-key    makes this server's own key, once a boot: its checks come through the proxy as callers do

NGINX sends X-Authorization, X-Protocols (Sec-WebSocket-Protocol), X-Certificate ($ssl_client_verify) and X-Subject. The answer is
204 with X-Caller (a name, never the key) and X-Subprotocol (the one to be accepted, where the key came in it), or 401.

A key is 256 random bits: nobody finds one by trying, so one round of SHA-256 hides it as well as a slow hash would.
"""

import hashlib
import json
import os
import re
import secrets
import selectors
import socket
import sys

CONFIG = "/etc/nginx/deepgram/callers.json"  # {"accept": one of ACCEPT, "keys": {sha256 in hex: name}}
OWN = "/run/deepgram-callers"  # own.key, for root alone; own.sha256
ACCEPT = ("keys", "certificates", "either", "both")
OWN_NAME = "dgctl"
LIMIT = 512 << 10  # bytes of a question; NGINX takes headers of 4 x 64 KiB
SCHEMES = ("token", "bearer")
NAME = re.compile(r"[^A-Za-z0-9._@-]")
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


class Watched:
    """What a file holds, read again when it is another one. While it cannot be read, what it held last counts."""

    def __init__(self, path, read, nothing):
        self.path, self.read, self.value, self.stamp = path, read, nothing, None

    def __call__(self):
        try:
            seen = os.stat(self.path)
            stamp = (seen.st_ino, seen.st_mtime_ns, seen.st_size)
            if stamp != self.stamp:
                with open(self.path, encoding="utf-8") as stream:
                    self.value = self.read(stream.read())
                self.stamp = stamp
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if self.stamp != str(error):
                self.stamp = str(error)
                print(f"{self.path}: {error}; what it held before counts", file=sys.stderr, flush=True)
        return self.value


def read_config(text):
    """(accept, {sha256: name}); raises ValueError for anything else."""
    reported = json.loads(text)
    keys = {str(digest): str(name) for digest, name in reported["keys"].items()}
    if reported["accept"] not in ACCEPT:
        raise ValueError(f"accept is {reported['accept']!r}")
    return reported["accept"], keys


def credential(authorization, protocols):
    """(key, subprotocol that carried it): `Token KEY`, `Bearer KEY`, or a browser's `token, KEY`; ("", "") for none."""
    words = authorization.split()
    if len(words) == 2 and words[0].lower() in SCHEMES:
        return words[1], ""
    offered = [word.strip() for word in protocols.split(",")]
    if not words and len(offered) == 2 and offered[0].lower() in SCHEMES:
        return offered[1], offered[0]
    return "", ""


def certificate(verified, subject):
    """The name in a client's certificate that NGINX has verified; "" for none."""
    if verified != "SUCCESS":
        return ""
    found = re.search(r"(?:^|,)CN=((?:\\.|[^,\\])+)", subject)
    return "cert:" + NAME.sub("_", found[1] if found else "unnamed")[:64]


def judged(question, config, own):
    """(caller's name or "", subprotocol). config: (accept, keys); own: sha256 of the server's own key, or ""."""
    accept, keys = config
    key, protocol = credential(question.get("x-authorization", ""), question.get("x-protocols", ""))
    digest = hashlib.sha256(key.encode("latin-1", "replace")).hexdigest() if key else ""
    if digest and own and digest == own:
        return OWN_NAME, protocol
    named = keys.get(digest, "") if digest and accept != "certificates" else ""
    shown = certificate(question.get("x-certificate", ""), question.get("x-subject", ""))
    if accept == "keys":
        return named, protocol
    if accept == "certificates":
        return shown, ""
    if accept == "either":
        return (named, protocol) if named else (shown, "")
    return (named if named and shown else ""), protocol


def answer(head, config, own):
    """The bytes that answer a question's head."""
    lines = head.decode("latin-1").split("\r\n")
    question = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    caller, protocol = judged(question, config, own)
    if not caller:
        return REFUSED
    accepted = f"X-Subprotocol: {protocol}\r\n" if protocol else ""
    return f"HTTP/1.1 204 No Content\r\nX-Caller: {caller}\r\n{accepted}\r\n".encode("latin-1")


class Connection:
    """One of NGINX's kept connections: questions come one after the other."""

    def __init__(self, stream):
        self.stream, self.waiting = stream, b""

    def take(self, reply):
        """Answers what has come; False when the connection is over."""
        try:
            part = self.stream.recv(1 << 16)
            self.waiting += part
            while b"\r\n\r\n" in self.waiting:
                head, _, self.waiting = self.waiting.partition(b"\r\n\r\n")
                self.stream.sendall(reply(head))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return bool(part) and len(self.waiting) < LIMIT


def serve(listener):
    """For ever: answers every connection of the listening socket."""
    config, own = Watched(CONFIG, read_config, ("keys", {})), Watched(f"{OWN}/own.sha256", str.strip, "")
    waiting = selectors.DefaultSelector()
    listener.setblocking(False)
    waiting.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.data is None:
                _accept(listener, waiting)
            elif not key.data.take(lambda head: answer(head, config(), own())):
                waiting.unregister(key.fileobj)
                key.fileobj.close()


def _accept(listener, waiting):
    try:
        stream, _ = listener.accept()
    except OSError:  # it went again, or there are too many
        return
    stream.setblocking(False)
    waiting.register(stream, selectors.EVENT_READ, Connection(stream))


def own_key():
    """Makes the server's own key where there is none: in memory alone, and another one after each boot."""
    os.makedirs(OWN, exist_ok=True)
    os.chmod(OWN, 0o755)  # whatever the unit's umask is
    if os.path.exists(f"{OWN}/own.key"):
        return
    key = secrets.token_hex(32)
    # The digest first: a key without one would be refused.
    for name, text, mode in (("own.sha256", hashlib.sha256(key.encode()).hexdigest(), 0o644), ("own.key", key, 0o600)):
        handle = os.open(f"{OWN}/.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            os.fchmod(handle, mode)
            stream.write(text + "\n")
        os.replace(f"{OWN}/.new", f"{OWN}/{name}")


def handed_over():
    """The listening socket that systemd gives (sd_listen_fds(3): the first is file descriptor 3)."""
    if os.environ.get("LISTEN_FDS") != "1":
        sys.exit("deepgram-callers: systemd hands over no socket; start deepgram-callers.socket")
    return socket.socket(fileno=3)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve(handed_over())
    elif sys.argv[1:] == ["own-key"]:
        own_key()
    else:
        sys.exit(__doc__)
