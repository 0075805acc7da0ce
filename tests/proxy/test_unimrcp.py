"""The listener without TLS for UniMRCP's plugin: one path, and only for its servers."""

import http.client
import socket

import pytest

from tests.export.api import Api
from tests.export.running import PROGRAMS, Proxy
from tests.ports import free_port
from tests.roles_app.rendering import render

pytestmark = pytest.mark.skipif(not PROGRAMS["nginx"], reason="no nginx on this machine (apt-get install nginx)")


class Nginx(Proxy):
    def __init__(self, folder, certificate, **variables):
        self.plain, self.api = free_port(), Api("gpu1")
        settings = {
            "nginx_proxy_nodes": [{"name": "gpu1", "address": self.api.address, "profile": "all", "region": ""}],
            "nginx_proxy_listen_ipv6": False,
            "nginx_proxy_plain_port": self.plain,
            "__nginx_proxy_packages": {"installed": {"nginx": "1.22.1"}},
            "_nginx_proxy_certificate": certificate,
            "_nginx_proxy_key": certificate,
            "_nginx_proxy_callers_listen": str(folder / "callers.sock"),
            **variables,
        }
        texts = {"deepgram.conf": render("nginx_proxy", "deepgram.conf.j2", **settings)}
        super().__init__(
            "nginx", folder, {**texts, "upstreams/__main__.py": "import time; time.sleep(60)\n"}, {}, certificate
        )

    def moved(self, text):
        return super().moved(text).replace("listen 443 ssl http2 default_server", f"listen 127.0.0.1:{self.port} ssl")

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.plain, timeout=5)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        return status

    def upgraded(self):
        """Whether a WebSocket without TLS and key is opened at the plugin's path, and carries words both ways."""
        with socket.create_connection(("127.0.0.1", self.plain), 5) as stream:
            lines = [
                "GET /v1/listen/stream?encoding=linear16 HTTP/1.1",
                "Host: x",
                "Upgrade: websocket",
                "Connection: Upgrade",
            ]
            lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
            stream.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            reported = b""
            while b"\r\n\r\n" not in reported:
                reported += stream.recv(1)
            stream.sendall(b"words")
            return b" 101 " in reported and stream.recv(100) == b"words"


@pytest.fixture
def start(tmp_path, certificate):
    running = []

    def started(**variables):
        running.append(Nginx(tmp_path, certificate, **variables).start())
        return running[0]

    yield started
    for each in running:
        each.close()


def test_its_path_is_there_and_nothing_else(start):
    nginx = start(nginx_proxy_plain_allow=["127.0.0.1"], nginx_proxy_callers="keys")
    assert nginx.upgraded() and nginx.api.heard[0][0] == "/v1/listen/stream?encoding=linear16"
    for path in ("/v1/listen", "/v1/status", "/metrics", "/healthz", "/", "/v1/listen/stream/x"):
        assert nginx.get(path) == 404, path
    assert nginx.ask("/v1/listen/stream", "GET", b"")[0] == 404, "with TLS it is no path"
    assert len(nginx.api.heard) == 1


def test_others_are_refused(start):
    nginx = start(nginx_proxy_plain_allow=["192.0.2.0/24"])
    assert nginx.get("/v1/listen/stream") == 403 and nginx.api.heard == []


@pytest.mark.parametrize("more", [{"nginx_proxy_plain_allow": []}, {"nginx_proxy_plain_port": None}])
def test_without_sources_or_a_port_nothing_listens(more, certificate):
    settings = {"nginx_proxy_plain_port": 8090, "nginx_proxy_plain_allow": ["127.0.0.1"], **more}
    installed = {"__nginx_proxy_packages": {"installed": {"nginx": "1.22.1"}}}
    assert "8090" not in render("nginx_proxy", "deepgram.conf.j2", **installed, **settings)
