"""Overflow to another deployment, with a real NGINX and the role's own site: when it is used, what it is sent, how it fails."""

import json
import re
import ssl
import threading
import time

import pytest

from tests import certificates
from tests.export.api import Api
from tests.export.running import PROGRAMS, Proxy
from tests.monitoring.program import program
from tests.roles_app.rendering import render, value

from .conftest import CLOUD

pytestmark = pytest.mark.skipif(not PROGRAMS["nginx"], reason="no nginx on this machine (apt-get install nginx)")

METRICS = program()
NODES = [
    {"name": f"gpu{n}", "address": f"192.0.2.1{n}:8080", "profile": p, "region": ""}
    for n, p in ((1, "stt"), (2, "flux"))
]


class Cloud(Api):
    """The other deployment: an API behind TLS, which notes what name it was asked by."""

    def __init__(self, certificate):
        super().__init__("cloud")
        self.names = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self.context = context

    def get_request(self):
        plain, address = self.socket.accept()
        return self.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), address


class Nginx(Proxy):
    """NGINX with the role's site: one request at a time at each of two servers, two elsewhere."""

    def __init__(self, folder, certificate, cloud, key="its-own-key", **variables):
        own = {"192.0.2.11:8080": Api("gpu1"), "192.0.2.12:8080": Api("gpu2")}
        settings = {
            "nginx_proxy_nodes": NODES,
            "nginx_proxy_listen_ipv6": False,
            "nginx_proxy_overflow_url": f"https://{CLOUD}:8443",
            "nginx_proxy_overflow_api_key": key,
            "nginx_proxy_overflow_max_connections": 2,
            "nginx_proxy_overflow_ca": certificate,
            "nginx_proxy_request_timeout_s": 1,
            "__nginx_proxy_packages": {"installed": {"nginx": "1.22.1"}},
            "_nginx_proxy_certificate": certificate,
            "_nginx_proxy_key": certificate,
            "_nginx_proxy_overflow_key": str(folder / "overflow.conf"),
            **variables,
        }
        lists = "".join(
            f"upstream deepgram_{node['profile']} {{\n zone deepgram_{node['profile']} 64k;\n"
            f" server {own[node['address']].address} max_conns=1 max_fails=0;\n}}\n"
            for node in NODES
        )
        lists += f"upstream deepgram_overflow {{\n zone o 64k;\n server {cloud.address} max_conns=2 max_fails=0;\n}}\n"
        [secret] = value("nginx_proxy", "_nginx_proxy_overflow_secrets", **settings)
        texts = {"deepgram.conf": render("nginx_proxy", "deepgram.conf.j2", **settings), "upstreams.conf": lists,
                 "overflow.conf": secret["content"] + "\n", "upstreams/__main__.py": "import time; time.sleep(60)\n"}  # fmt: skip
        self.gpu1, self.gpu2 = own.values()
        super().__init__("nginx", folder, texts, {}, certificate)

    def moved(self, text):
        return super().moved(text).replace("listen 443 ssl http2 default_server", f"listen 127.0.0.1:{self.port} ssl")


@pytest.fixture
def cloud(certificate):
    found = Cloud(certificate)
    yield found
    found.hold.set()
    found.shutdown()


@pytest.fixture
def start(tmp_path, certificate, cloud):
    running = []

    def started(**variables):
        at = tmp_path / "nginx"
        at.mkdir()
        running.append(Nginx(at, certificate, cloud, **variables).start())
        return running[0]

    yield started
    for each in running:
        each.gpu1.hold.set()
        each.gpu2.hold.set()
        each.close()


@pytest.fixture
def full(start):
    """full(**variables) -> an NGINX whose own servers each have the one request that they may have."""

    def filled(**variables):
        found = start(**variables)
        found.held = []
        for api, path in ((found.gpu1, "/v1/listen"), (found.gpu2, "/v2/listen")):
            found.held.append(found.stream(path))
            until(lambda api=api: api.now)
        return found

    return filled


def until(condition):
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def by(answer):
    return json.loads(answer[2]).get("by", answer[0])


def test_own_servers_first_then_the_other_one_and_back_at_once(full, cloud):
    nginx = full()
    assert by(nginx.ask(headers=["Authorization: Token callers-key"])) == "cloud"
    path, heard = cloud.heard[0]
    assert path == "/v1/listen" and heard["host"] == CLOUD and cloud.names == [CLOUD], "SNI and Host"
    assert heard["authorization"] == "Token its-own-key" and "callers-key" not in str(heard)
    assert "x-forwarded-for" not in heard and "x-real-ip" not in heard, "who calls is nobody else's business"
    stream = nginx.stream()
    stream.sendall(b"words")
    assert stream.recv(100) == b"words" and cloud.now == 1
    nginx.held[0].close()
    until(lambda: nginx.gpu1.now == 0)
    assert by(nginx.ask()) == "gpu1"
    stream.close()
    for which in ("yes", "no"):
        logged = re.compile(rf"POST /v1/listen.*overflow={which}|overflow={which}.*POST /v1/listen")
        until(lambda logged=logged: logged.search(nginx.log()))


def test_it_is_used_when_no_server_of_ones_own_is_reached(start, cloud):
    nginx = start()
    assert by(nginx.ask()) == "gpu1"
    nginx.gpu1.stop()
    assert by(nginx.ask()) == "cloud" and by(nginx.ask("/v1/listen?callback=https://a.example.com")) == "cloud"


def test_its_own_cap_holds(full, cloud):
    nginx = full()
    cloud.hold.clear()
    answers = []
    callers = [threading.Thread(target=lambda: answers.append(nginx.ask()[0])) for _ in range(5)]
    for caller in callers:
        caller.start()
    until(lambda: len(answers) >= 3 and cloud.now == 2)
    cloud.hold.set()
    for caller in callers:
        caller.join()
    assert sorted(answers) == [200, 200, 503, 503, 503] and cloud.most == 2


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_what_it_says_of_keys_or_load_is_busy_to_a_caller(full, cloud, status):
    nginx = full()
    cloud.status = status
    answer = nginx.ask()
    assert (
        answer[0] == 503
        and "retry-after: 1" in answer[1]
        and json.loads(answer[2])["err_code"] == "SERVICE_UNAVAILABLE"
    )
    cloud.status = 400
    assert nginx.ask()[0] == 400, "what is wrong with the request is the caller's to know"


def test_one_that_is_slow_or_does_not_answer_at_all_is_busy_too(full, cloud):
    nginx = full()
    cloud.hold.clear()
    begin = time.monotonic()
    assert nginx.ask()[0] == 503 and time.monotonic() - begin < 3, "after nginx_proxy_request_timeout_s"
    cloud.hold.set()
    cloud.stop()
    assert nginx.ask()[0] == 503


def test_one_with_another_certificate_gets_nothing(full, cloud, tmp_path):
    other = certificates.made(tmp_path, "other")
    nginx = full(nginx_proxy_overflow_ca=str(other))
    assert nginx.ask()[0] == 503 and cloud.heard == []


def test_the_exporter_counts_what_went_there(full, cloud, tmp_path):
    """The real log of a real NGINX, as deepgram-metrics reads it."""
    log = METRICS.proxy.AccessLog(str(tmp_path / "read.log"))
    (tmp_path / "read.log").touch()
    log.read_on()
    nginx = full()
    assert by(nginx.ask()) == "cloud"
    streams = [nginx.stream(), nginx.stream()]
    until(lambda: cloud.now == 2)
    assert nginx.ask()[0] == 503
    for stream in streams:
        stream.close()
    until(lambda: cloud.now == 0)
    cloud.status = 401
    assert nginx.ask()[0] == 503
    nginx.held[0].close()
    until(lambda: nginx.gpu1.now == 0)
    assert by(nginx.ask()) == "gpu1"
    until(lambda: nginx.log().count("overflow=no") >= 2 and nginx.log().count("overflow=yes") >= 5)
    (tmp_path / "read.log").write_text(nginx.log())
    log.read_on()
    assert log.overflowed == {"2xx": 1, "1xx": 2, "full": 1, "401": 1} and log.retries == 0
    assert log.statuses["2xx"] == 2


def test_what_one_of_ones_own_has_had_goes_nowhere_else(start, cloud):
    nginx = start()
    nginx.gpu1.hold.clear()
    answer = nginx.ask()
    assert answer[0] == 503 and cloud.heard == [], "it was sent, and its result may still come"


def test_what_may_not_leave_does_not(full, cloud):
    servers = {"gpu1": {"deepgram_overflow": True}, "gpu2": {"deepgram_overflow": False}}
    nginx = full(
        hostvars={**servers, "lb1": {}}, inventory_hostname="lb1", groups={"node": ["gpu1", "gpu2"], "proxy": ["lb1"]}
    )
    assert nginx.ask("/v2/listen")[0] == 503 and cloud.heard == []
    assert by(nginx.ask("/v1/listen")) == "cloud"


def test_a_key_of_none_is_none(full, cloud):
    nginx = full(key="")
    nginx.ask(headers=["Authorization: Token callers-key"])
    assert "authorization" not in cloud.heard[0][1]
