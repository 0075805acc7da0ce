"""A stranger before a real NGINX with the role's own site: 0 of attacks.py comes through to the API."""

import contextlib
import signal
import socket
import time

import pytest

from tests.roles_app.proxy.attacks import GROUPS, KEY, SLOW, WITH_KEY
from tests.roles_app.proxy.real_nginx import NGINX
from tests.roles_app.proxy.test_callers_nginx import Proxy, certificates, keys  # noqa: F401 - a fixture

pytestmark = pytest.mark.skipif(not NGINX, reason="no nginx on this machine (apt-get install nginx)")
STRANGER = "X-Forwarded-For: 203.0.113.9"
ALL = [attack for group in GROUPS.values() for attack in group]
FAST_S = 0.4


@pytest.fixture(scope="module")
def its(tmp_path_factory, certificates):  # noqa: F811
    folder = tmp_path_factory.mktemp("proxy")
    found = Proxy(folder, certificates["gpu1"], nginx_proxy_callers="keys", nginx_proxy_balancers=["127.0.0.1"])
    found.config = folder / "callers.json"
    keys(found, {"billing": KEY})
    found.callers = found.start_callers(found.config, folder / "own")
    yield found
    found.close()


def sent(its, attack):
    """The answer's status; 0 where the connection was closed without one."""
    lines = [attack.line, attack.host, *attack.headers, "Connection: close"]
    lines += [] if any(one.startswith("X-Forwarded-For") for one in attack.headers) else [STRANGER]
    said = b""
    with its.open() as stream, contextlib.suppress(OSError):
        stream.settimeout(5)
        stream.sendall(("\r\n".join(filter(None, lines)) + "\r\n\r\n" + attack.body).encode("latin-1"))
        while b"\r\n" not in said and (part := stream.recv(65536)):
            said += part
    return int(said.split()[1]) if said.startswith(b"HTTP/") else 0


def test_a_caller_with_a_key_gets_through(its):
    """Else the rows below could not fail."""
    its.api.heard.clear()
    assert its.ask(headers=[tuple(WITH_KEY.split(": ")), tuple(STRANGER.split(": "))])[0] == 200
    assert len(its.api.heard) == 1 and KEY not in str(its.api.heard)


@pytest.mark.parametrize("attack", ALL, ids=lambda attack: attack.name)
def test_it_is_refused_and_the_api_hears_nothing(its, attack):
    its.api.heard.clear()
    assert sent(its, attack) in attack.answers
    assert its.api.heard == []


def test_the_table_is_as_large_as_it_says():
    assert len(ALL) + len(SLOW) >= 55 and len({attack.name for attack in ALL}) == len(ALL)


def test_slow_headers_of_one_hold_up_nobody_else(its):
    with contextlib.ExitStack() as open_ones:
        for _ in range(200):
            stream = open_ones.enter_context(its.open())
            stream.sendall(b"POST /v1/listen HTTP/1.1\r\nHost: gpu1\r\nX-Drop")
        times = []
        for _ in range(5):
            began = time.monotonic()
            assert its.ask(headers=[tuple(WITH_KEY.split(": "))])[0] == 200
            times.append(time.monotonic() - began)
    assert min(times) < FAST_S, times


def test_a_slow_body_without_a_key_is_not_waited_for(its):
    with its.open() as stream:
        stream.settimeout(3)
        stream.sendall(
            f"POST /v1/listen HTTP/1.1\r\nHost: gpu1\r\n{STRANGER}\r\nContent-Length: 1000000\r\n\r\nx".encode()
        )
        assert stream.recv(100).split()[1] == b"401"


def test_what_never_ends_is_ended(its):
    """The site's own directive, with one second in place of its fifteen."""
    site = its.folder / "site.conf"
    text = site.read_text()
    assert text.count("client_header_timeout   15s;") == 1
    site.write_text(text.replace("client_header_timeout   15s;", "client_header_timeout   1s;"))
    its.children[0].send_signal(signal.SIGHUP)
    time.sleep(0.5)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", its.port), 5) as silent, its.open() as stream:
        stream.sendall(b"POST /v1/listen HTTP/1.1\r\nHost: gpu1\r\n")
        with contextlib.suppress(OSError):
            for _ in range(40):  # drops do not lengthen it
                stream.sendall(b"X: y\r\n")
                time.sleep(0.1)
        assert 0.5 < time.monotonic() - began < 3.9
        silent.settimeout(3)
        assert silent.recv(10) == b""
