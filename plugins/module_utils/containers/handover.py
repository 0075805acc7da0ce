"""One server hands its archive of images to the others: HTTPS with a certificate of its own and a token, both for this once.

Who fetches accepts that one certificate and no other, and keeps only what has the digest that the controller told it.
"""

import contextlib
import errno
import hashlib
import hmac
import http.client
import http.server
import os
import shutil
import socket
import ssl
import threading
import time
import urllib.parse

from ansible.module_utils.containers.archive import BLOCK
from ansible.module_utils.host.openssl import openssl

PORT = 9813
ATTEMPTS = 3
TIMEOUT_S = 60  # without a byte
WATCH_S = 0.5


class NotFetched(Exception):
    """The archive did not arrive; `fix` says what to do."""

    def __init__(self, what, fix):
        super().__init__(what)
        self.fix = fix


def make_certificate(folder):
    """Writes a key and its certificate into the folder; the certificate's text."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    os.chmod(folder, 0o700)
    key, certificate = os.path.join(folder, "key"), os.path.join(folder, "crt")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(certificate)  # who serves with it ends
    before = os.umask(0o077)
    try:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        openssl("req", "-x509", *curve, "-sha256", "-nodes", "-days", "2", "-subj", "/CN=dgctl-images",
                "-keyout", key, "-out", certificate)  # fmt: skip
    finally:
        os.umask(before)
    with open(certificate) as stream:
        return stream.read()


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def do_GET(self):
        if not hmac.compare_digest(self.path.encode(), b"/" + self.server.token.encode()):
            return self.send_error(404)
        with open(self.server.file, "rb") as stream:
            self.send_response(200)
            self.send_header("Content-Length", str(os.fstat(stream.fileno()).st_size))
            self.end_headers()
            return shutil.copyfileobj(stream, self.wfile, BLOCK)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def server_bind(self):
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request, client_address):
        """Whoever breaks off, or does not accept the certificate, has said so where it asked."""


def serve(file, folder, token, limit_s, port=PORT):
    """Serves the file while the certificate in `folder` is the same, at most for so long; raises OSError for a taken port."""
    certificate, until = os.path.join(folder, "crt"), time.monotonic() + limit_s
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, os.path.join(folder, "key"))
    own = _identity(certificate)
    with _listening(port) as server:
        server.file, server.token = file, token
        # The handshake is done where a request is read: a neighbour that says nothing holds nobody else up.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
        while time.monotonic() < until and _identity(certificate) == own:
            time.sleep(WATCH_S)
        server.shutdown()


def _listening(port):
    """The server; one that a killed run left there ends by itself, and is waited for."""
    for _attempt in range(20):
        try:
            return _Server(("", port), _Handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            taken = error
            time.sleep(WATCH_S)
    raise taken


def _identity(path):
    """What tells a file from another of its name; None without one."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


@contextlib.contextmanager
def _asked(method, address, port, certificate, token):
    """The answer of the server that has this certificate; raises OSError or HTTPException."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # it is known by itself
    context.load_verify_locations(cadata=certificate)
    connection = http.client.HTTPSConnection(address, port, timeout=TIMEOUT_S, context=context)
    try:
        connection.request(method, "/" + urllib.parse.quote(token))
        yield connection.getresponse()
    finally:
        connection.close()


def wait_for(address, certificate, token, seconds, port=PORT):
    """Waits until a server answers; raises NotFetched."""
    until, why = time.monotonic() + seconds, ""
    while time.monotonic() < until:
        try:
            with _asked("HEAD", address, port, certificate, token):
                return
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
        time.sleep(0.5)
    raise NotFetched(f"{address}:{port} does not hand out the archive: {why}", f"see that port {port} is free there")


def fetch(address, certificate, token, file, sha256, port=PORT):
    """Fetches the archive from another server: whole, with this digest, readable by root alone; raises NotFetched."""
    os.makedirs(os.path.dirname(file), mode=0o755, exist_ok=True)
    part = file + ".part"
    try:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if _copied(address, certificate, token, part, port) == sha256:
                    os.replace(part, file)
                    return
                why = "what came is another file, or torn"
            except (OSError, http.client.HTTPException) as error:
                why = str(error) or type(error).__name__
            if attempt < ATTEMPTS:
                time.sleep(2 * attempt)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
    fix = f"open TCP port {port} between the servers for the time of the load, or add --each: each gets it from the controller"
    raise NotFetched(f"the archive does not arrive from {address}:{port}: {why}", fix)


def _copied(address, certificate, token, part, port):
    """Writes what the server sends into a file; its digest."""
    found = hashlib.sha256()
    with _asked("GET", address, port, certificate, token) as answer:
        if answer.status != 200:
            raise OSError(f"HTTP {answer.status}")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            while piece := answer.read(BLOCK):
                found.update(piece)
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
    return found.hexdigest()
