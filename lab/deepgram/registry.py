"""Pushes images over the registry's HTTP API: TLS verified, password in a header only, no container engine."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from .oci import MANIFEST_TYPE, Image

TIMEOUT_S = 60


class RegistryError(RuntimeError):
    """The registry's answer was not the expected one."""


class _At(http.client.HTTPSConnection):
    """HTTPS to a host at an address given by hand, for names that this machine does not resolve."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext):
        super().__init__(host, port, timeout=TIMEOUT_S, context=context)
        self._place, self._tls = (address or host, port), context

    def connect(self) -> None:
        plain = socket.create_connection(self._place, TIMEOUT_S)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


class Registry:
    """`registry` is HOST[:PORT][/PATH], as it stands before an image's name."""

    def __init__(self, registry: str, user: str, password: str, ca_file: Path, address: str = ""):
        place, _, self._path = registry.partition("/")
        host, _, port = place.partition(":")
        self._where = (host, int(port or 443), address, ssl.create_default_context(cafile=str(ca_file)))
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"}

    @contextmanager
    def _ask(self, method: str, path: str, body=None, **headers: str) -> Iterator[http.client.HTTPResponse]:
        connection = _At(*self._where)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {**self._headers, **named})
            answer = connection.getresponse()
            yield answer
        except (ssl.SSLError, OSError, http.client.HTTPException) as error:
            raise RegistryError(f"{self._where[0]}:{self._where[1]}: {error}") from error
        finally:
            connection.close()

    def _name(self, image: str) -> str:
        return "/".join(filter(None, (self._path, image)))

    def digest(self, image: str, tag: str) -> str:
        """The digest behind a tag; empty when there is none."""
        path = f"/v2/{self._name(image)}/manifests/{tag}"
        with self._ask("HEAD", path, Accept=MANIFEST_TYPE) as answer:
            if answer.status == 404:
                return ""
            _expect(answer, 200, "HEAD", path)
            return answer.headers.get("Docker-Content-Digest", "")

    def push(self, name: str, tag: str, image: Image) -> bool:
        """Makes `tag` name this image; False when it did already."""
        if self.digest(name, tag) == image.digest:
            return False
        for blob in image.blobs:
            self._push_blob(name, blob)
        path = f"/v2/{self._name(name)}/manifests/{tag}"
        with self._ask("PUT", path, image.manifest, Content_Type=MANIFEST_TYPE) as answer:
            _expect(answer, 201, "PUT", path)
        return True

    def _push_blob(self, name: str, blob) -> None:
        base = f"/v2/{self._name(name)}/blobs"
        with self._ask("HEAD", f"{base}/{blob.digest}") as answer:
            if answer.status == 200:
                return
        with self._ask("POST", f"{base}/uploads/") as answer:
            _expect(answer, 202, "POST", base)
            place = urlsplit(answer.headers["Location"])
        query = "&".join(filter(None, (place.query, urlencode({"digest": blob.digest}))))
        with blob.path.open("rb") as content:
            sized = {"Content_Length": str(blob.size), "Content_Type": "application/octet-stream"}
            with self._ask("PUT", f"{place.path}?{query}", content, **sized) as answer:
                _expect(answer, 201, "PUT", base)


def _expect(answer: http.client.HTTPResponse, status: int, method: str, path: str) -> None:
    if answer.status != status:
        raise RegistryError(f"{method} {path}: {answer.status} {answer.reason}, expected {status}")
