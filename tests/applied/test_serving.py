"""Whether callers are served: what a look asks through the server's own proxy, and what it makes of the answers."""

import json
import socket
import ssl
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests import tls_server

from .conftest import serving

# As the role's server block says it with every answer; and the API's errors, as openapi.yml of Deepgram's has them.
OURS = {"Content-Security-Policy": "default-src 'none'", "X-Frame-Options": "DENY"}
BAD = {
    "err_code": "Bad Request",
    "err_msg": "failed to process audio: corrupt or unsupported data",
    "request_id": "1-2",
}
CATEGORY = {"category": "INVALID_JSON", "message": "Invalid JSON submitted.", "details": "", "request_id": "1-2"}
# What the role's own NGINX says where no server takes a request (roles/nginx_proxy/templates/deepgram.conf.j2).
BUSY = {
    "err_code": "SERVICE_UNAVAILABLE",
    "err_msg": "No Deepgram server can take this request now.",
    "request_id": "1",
}
HTML = "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body><hr><center>nginx/1.26.3</center>\r\n</body>\r\n</html>"


class Proxy(BaseHTTPRequestHandler):
    """Answers {(method, path): (status, headers, text)}; text as a number: so many seconds later."""

    def _answer(self):
        self.server.heard.append((self.command, self.path, self.headers.get("Content-Length")))
        self.server.shown.append(self.headers.get("Authorization"))
        status, headers, text = self.server.table[self.command, self.path]
        if isinstance(text, float):
            time.sleep(text)
            text = ""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write((text if isinstance(text, str) else json.dumps(text)).encode())

    do_GET = do_POST = _answer

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy(certificate):
    """What serves on a port with the certificate `proxy.certificate`: the API behind the role's server block."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = certificate("gpu1")
    context.load_cert_chain(path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    tls_server.secure(server, context)
    server.heard, server.shown, server.certificate = [], [], path
    with serving(server, {("POST", "/v1/listen"): (400, OURS, BAD)}):
        yield server


def declared(proxy, paths=None, **more):
    tls = {"address": "127.0.0.1", "port": proxy.server_port, "server_name": "gpu1", "certificate": proxy.certificate}
    return {**tls, "paths": paths or {"/v1/listen": []}, **more}


def found(host, proxy, answer, path="/v1/listen"):
    """What the look says of a path that answers this."""
    proxy.table = {("POST" if path.startswith("/v1/listen") else "GET", path): answer}
    return host.drift()


def test_the_request_has_no_content_and_is_sent_once(host, proxy):
    host.record(tls=declared(proxy))
    assert proxy.heard == []
    assert host.drift() == []
    assert proxy.heard == [("POST", "/v1/listen", "0")]


@pytest.mark.parametrize(
    "answer",
    [
        (400, OURS, BAD),
        (400, OURS, CATEGORY),
        (402, OURS, CATEGORY),
        (400, {**OURS, "dg-error": "Bad Request", "dg-request-id": "1-2"}, ""),
        (200, OURS, {"metadata": {"request_id": "1-2"}, "results": {}}),
        (429, OURS, ""),
    ],
)
def test_what_the_api_may_say_is_right(host, proxy, answer):
    host.record(tls=declared(proxy))
    assert found(host, proxy, answer) == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((418, {}, ""), "HTTP 418 from somebody else"),
        ((418, {}, BAD), "HTTP 418 from somebody else"),
        ((200, {}, "hello"), "HTTP 200 from somebody else"),
        ((404, {}, HTML), "HTTP 404 from somebody else"),
        ((503, {}, HTML), "HTTP 503 from somebody else"),
        ((404, OURS, HTML), "HTTP 404, which is no answer of the API's"),
        ((200, OURS, "hello"), "HTTP 200, which is no answer of the API's"),
        ((404, OURS, {"detail": "Not Found"}), "HTTP 404, which is no answer of the API's"),
        ((502, OURS, HTML), "HTTP 502: no API takes requests"),
        ((503, OURS, BUSY), "HTTP 503: no API takes requests"),
        ((504, OURS, HTML), "HTTP 504: no API takes requests"),
    ],
)
def test_who_else_serves_there_is_named(host, proxy, answer, words):
    host.record(tls=declared(proxy))
    (reported,) = found(host, proxy, answer)
    assert reported.startswith(f"path /v1/listen on port {proxy.server_port}: {words}"), reported
    assert host.role()["state"] == "drifted"


@pytest.mark.parametrize("text", ["", "Method Not Allowed", "Connection header did not include 'upgrade'", BAD])
@pytest.mark.parametrize("status", [400, 404, 405, 426])
def test_a_path_of_streams_may_refuse_a_plain_request_in_any_words(host, proxy, status, text):
    """Not documented: an HTTP framework's own refusal is as good as the API's. HTML is NGINX's."""
    host.record(tls=declared(proxy, {"/v2/listen": []}))
    assert found(host, proxy, (status, OURS, text), "/v2/listen") == []
    assert len(found(host, proxy, (status, OURS, HTML), "/v2/listen")) == 1
    assert len(found(host, proxy, (status, {}, text), "/v2/listen")) == 1


def test_each_path_is_asked_and_all_at_once(host, proxy):
    proxy.table = {("POST", "/v1/listen"): (400, OURS, 0.6), ("GET", "/v2/listen"): (400, OURS, 0.6)}
    host.record(tls=declared(proxy, {"/v1/listen": [], "/v2/listen": []}))
    reported, _ = host.ask()
    assert len(reported["roles"]["role"]["drift"]) == 1  # an empty answer to a file is none
    assert reported["seconds"] < 1.1


def test_an_api_that_never_answers_ends_with_the_time(host, proxy):
    host.set("proxy.serving", TIMEOUT_S=0.4)
    host.record(tls=declared(proxy))
    (reported,) = found(host, proxy, (400, OURS, 3.0))
    assert reported.startswith(f"path /v1/listen on port {proxy.server_port}: no answer in 0.4 s")


def test_nobody_is_asked_who_shows_another_certificate(host, proxy, certificate):
    host.record(tls=declared(proxy, certificate=certificate("other")))
    (reported,) = host.drift()
    assert reported.startswith("certificate on port") and proxy.heard == []


def test_a_port_that_is_closed_is_said_once(host, proxy, certificate):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host.record(tls=declared(proxy, port=free.getsockname()[1]))
    assert len(host.drift()) == 1


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({"gpu1": "drained", "gpu2": "down"}, "(gpu1 drained, gpu2 down)"),
        ({}, "(gpu1 unknown, gpu2 unknown)"),
        ({"gpu1": "up", "gpu2": "down"}, ""),  # it has no room: that is no reason to run anything
        ({"gpu3": "up"}, "(gpu1 unknown, gpu2 unknown)"),
    ],
)
def test_a_proxy_with_nobody_behind_it_says_who_is_out(host, proxy, states, words):
    members = host.file("members.json", json.dumps({"members": {name: {"state": one} for name, one in states.items()}}))
    host.record(tls=declared(proxy, {"/v1/listen": ["gpu1", "gpu2"]}, members=members))
    reported = found(host, proxy, (503, OURS, BUSY))
    assert [one.partition("requests ")[2] for one in reported] == ([words] if words else [])


CONTAINER = {
    "State": {"Status": "running", "StartedAt": "2026-01-01T00:00:00Z"},
    "Config": {"Image": "api", "Labels": {}},
    "Image": "sha256:1",
}


@pytest.mark.parametrize(
    ("status", "active", "running", "path_fails"),
    [
        (200, 0, True, True),  # the API works, and its NGINX does not reach it
        (200, 7, True, False),  # busy
        (503, 0, True, False),  # its own role says it
        (200, 0, False, False),
    ],
)
def test_an_own_api_s_fault_is_its_own_role_s(host, proxy, docker, web, status, active, running, path_fails):
    state = {**CONTAINER["State"], "Status": "running" if running else "exited"}
    docker["/containers/deepgram-api/json"] = (200, json.dumps({**CONTAINER, "State": state}))
    web.table["/v1/status"] = (status, json.dumps({"system_health": "Ready", "active_batch_requests": active}))
    containers = {"engine": "docker", "names": {"deepgram-api": []}}
    host.record(answers=[f"http://127.0.0.1:{web.port}/v1/status"], containers=containers, tls=declared(proxy))
    reported = found(host, proxy, (503, OURS, BUSY))
    assert any(one.startswith("path ") for one in reported) is path_fails


# What the role's own NGINX says to who shows no key that counts (roles/nginx_proxy/templates/deepgram.conf.j2).
STRANGER = {"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials.", "request_id": "1"}


def test_where_callers_show_keys_the_server_shows_its_own(host, proxy):
    host.record(tls=declared(proxy, credential=host.file("own.key", "0" * 64 + "\n")))
    assert host.drift() == [] and proxy.shown == [f"Token {'0' * 64}"]


def test_an_own_key_that_is_gone_or_refused_is_named(host, proxy):
    host.record(tls=declared(proxy, credential="/nonexistent/own.key"))
    (reported,) = found(host, proxy, (401, OURS, STRANGER))
    assert reported.endswith("HTTP 401: callers must show a key, and the server's own is refused or gone")
    assert proxy.shown == [None]


def test_who_shows_another_certificate_sees_no_key(host, proxy, certificate):
    host.record(tls=declared(proxy, certificate=certificate("other"), credential=host.file("own.key", "0" * 64)))
    host.drift()
    assert proxy.shown == []


def test_a_record_of_before_has_no_paths(host, proxy):
    tls = declared(proxy)
    del tls["paths"]
    host.record(tls=tls)
    assert host.drift() == [] and proxy.heard == []
