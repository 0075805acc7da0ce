"""A registry on this server's own loopback, as long as images are taken from an archive (OCI distribution specification: pull).

Docker and Podman then pull from it by digest, as from any registry: they check each blob, take none that they have, and note the
image's digest. `docker load` notes none in Docker's classic store (moby, image/tarexport/load.go: AddTag alone), and in its
containerd store that of whatever manifest lies in the archive (moby, daemon/containerd/image_inspect.go: target.Digest).

Docker asks loopback without TLS by itself (Docker Engine API, RegistryServiceConfig: "By default, local registries (::1/128 and
127.0.0.0/8) are configured as insecure"), Podman with --tls-verify=false (podman-pull(1)).
"""

import contextlib
import http.server
import threading

from ansible.module_utils.containers.archive import DIGEST, blob

ADDRESS, PORT = "127.0.0.1", 9812
TLS = b"\x16"  # begins a handshake (RFC 8446, section 5.1)
HERE = f"{ADDRESS}:{PORT}"  # part of the images' names from then on: as fixed as a registry's name


def local(repository):
    """The repository's name where its image came from an archive: 127.0.0.1:9812/quay.io/deepgram/self-hosted-api."""
    return f"{HERE}/{repository.replace(':', '-')}"


def is_local(reference):
    return reference.startswith(HERE + "/")


def pull(engine, reference):
    """The command that takes an image from there; no account is sent to it."""
    return [engine, "pull", "--quiet", *(["--tls-verify=false"] if engine == "podman" else []), reference]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def handle_one_request(self):
        """Docker tries TLS first; it goes on without where the answer is plain HTTP (containerd, docker.HTTPFallback)."""
        if self.rfile.peek(1)[:1] == TLS:
            self.rfile.read1(1 << 16)
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self.close_connection = True
        else:
            super().handle_one_request()

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        parts = self.path.strip("/").split("/")
        if parts == ["v2"]:
            return self._send("application/json", 2, [b"{}"], body)
        kind, desired = parts[-2:] if len(parts) > 3 else ("", "")
        archive = self.server.archive
        here = DIGEST.fullmatch(desired) and blob(desired) in archive.members
        if not here or kind not in ("manifests", "blobs") or (kind == "manifests" and desired not in archive.manifests):
            reported = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown: not in the archive"}]}'
            return self._send("application/json", len(reported), [reported], body, status=404)
        form = archive.manifests[desired] if kind == "manifests" else "application/octet-stream"
        return self._send(form, archive.members[blob(desired)][1], archive.pieces(blob(desired)), body, digest=desired)

    def _send(self, form, size, pieces, body, status=200, digest=""):
        self.send_response(status)
        for name, value in (("Docker-Distribution-Api-Version", "registry/2.0"), ("Content-Type", form)):
            self.send_header(name, value)
        self.send_header("Content-Length", str(size))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if body:
            with contextlib.suppress(ConnectionError):  # who asked went away
                for piece in pieces:
                    self.wfile.write(piece)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Who hangs up has said why where it asked."""


@contextlib.contextmanager
def served(archive, address=ADDRESS, port=PORT):
    """Serves an archive during the block; raises OSError where something else listens there."""
    with _Server((address, port), _Handler) as server:
        server.archive = archive
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
