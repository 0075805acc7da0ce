"""A stranger before a real NGINX with the role's own site: 0 of attacks.py comes through to the API."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.roles_app.proxy import http2
from tests.roles_app.proxy.attacks import GROUPS, KEY, SLOW, WITH_KEY, Http2, http2_request
from tests.roles_app.proxy.real_nginx import NGINX
from tests.roles_app.proxy.test_callers_nginx import Proxy, certificates, keys  # noqa: F401 - a fixture

pytestmark = pytest.mark.skipif(not NGINX, reason="no nginx on this machine (apt-get install nginx)")
STRANGER = "X-Forwarded-For: 203.0.113.9"
GIGABYTES = 2 << 30  # what client_max_body_size allows by default
ALL = [attack for group in GROUPS.values() for attack in group]
FAST_S = 0.4


def name(attack):
    return f"HTTP/2: {attack.name}" if isinstance(attack, Http2) else attack.name


@pytest.fixture(scope="module")
def its(tmp_path_factory, certificates):  # noqa: F811
    found = guarded(tmp_path_factory, certificates)
    yield found
    found.close()


@pytest.fixture(scope="module")
def buffering(tmp_path_factory, certificates):  # noqa: F811
    """A proxy of several servers: files are received whole before one of them gets it."""
    found = guarded(tmp_path_factory, certificates, nginx_proxy_request_buffering=True)
    yield found
    found.close()


def guarded(tmp_path_factory, certificates, **more):  # noqa: F811
    folder = tmp_path_factory.mktemp("proxy")
    (folder / "uploads").mkdir()
    more["_nginx_proxy_uploads"] = str(folder / "uploads")
    found = Proxy(folder, certificates["gpu1"], nginx_proxy_callers="keys", nginx_proxy_balancers=["127.0.0.1"], **more)
    found.config = folder / "callers.json"
    keys(found, {"billing": KEY})
    found.callers = found.start_callers(found.config, folder / "own")
    return found


def sent(its, attack):
    """The answer's status; 0 where the connection was closed without one."""
    return sent_by_http2(its, attack) if isinstance(attack, Http2) else sent_by_http1(its, attack)


def sent_by_http1(its, attack):
    lines = [attack.line, attack.host, *attack.headers, "Connection: close"]
    lines += [] if any(one.startswith("X-Forwarded-For") for one in attack.headers) else [STRANGER]
    reported = b""
    with its.open() as stream, contextlib.suppress(OSError):
        stream.settimeout(5)
        stream.sendall(("\r\n".join(filter(None, lines)) + "\r\n\r\n" + attack.body).encode("latin-1"))
        while b"\r\n" not in reported and (part := stream.recv(65536)):
            reported += part
    return int(reported.split()[1]) if reported.startswith(b"HTTP/") else 0


def sent_by_http2(its, attack):
    with its.open(protocols=["h2"]) as stream:
        stream.settimeout(5)
        return http2.answer(stream, attack.headers, None if attack.body is None else attack.body.encode("latin-1"))


def test_a_caller_with_a_key_gets_through(its):
    """Else the rows below could not fail."""
    its.api.heard.clear()
    assert its.ask(headers=[tuple(WITH_KEY.split(": ")), tuple(STRANGER.split(": "))])[0] == 200
    assert len(its.api.heard) == 1 and KEY not in str(its.api.heard)


def test_http2_gets_through(its):
    """Else its rows could not fail."""
    its.api.asked.clear()
    assert sent(its, http2_request("", body="abc", answers=(200,))) == 200 and its.api.asked == ["POST /v1/listen"]


@pytest.mark.parametrize("attack", [one for one in ALL if not one.served], ids=name)
def test_it_is_refused_and_the_api_hears_nothing(its, attack):
    its.api.heard.clear()
    assert sent(its, attack) in attack.answers
    assert its.api.heard == []


@pytest.mark.parametrize("attack", [one for one in ALL if one.served], ids=name)
def test_it_is_one_request_at_most_and_nothing_rides_in(its, attack):
    its.api.heard.clear()
    its.api.asked.clear()
    assert (status := sent(its, attack)) in attack.answers
    time.sleep(0.1)  # what rode in would come behind it
    assert (status == 200) <= len(its.api.asked) <= 1 and {one.partition(" ")[2] for one in its.api.asked} <= {
        "/v1/listen"
    }
    heard = {header.lower() for one in its.api.heard for header in one}
    assert not heard & {"x-smuggled", "upgrade", "te", "transfer_encoding", "content_length"}, its.api.heard


def test_the_table_is_as_large_as_it_says():
    assert len(ALL) + len(SLOW) >= 120 and all(
        len({one.name for one in group}) == len(group) for group in GROUPS.values()
    )


def test_slow_headers_of_one_hold_up_nobody_else(its):
    with contextlib.ExitStack() as open_ones:
        for _ in range(200):
            stream = open_ones.enter_context(its.open())
            stream.sendall(b"POST /v1/listen HTTP/1.1\r\nHost: gpu1\r\nX-Drop")
        times = []
        for _ in range(5):
            started = time.monotonic()
            assert its.ask(headers=[tuple(WITH_KEY.split(": "))])[0] == 200
            times.append(time.monotonic() - started)
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
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", its.port), 5) as silent, its.open() as stream:
        stream.sendall(b"POST /v1/listen HTTP/1.1\r\nHost: gpu1\r\n")
        with contextlib.suppress(OSError):
            for _ in range(40):  # drops do not lengthen it
                stream.sendall(b"X: y\r\n")
                time.sleep(0.1)
        assert 0.5 < time.monotonic() - started < 3.9
        silent.settimeout(3)
        assert silent.recv(10) == b""


def announced(its, opened, size, *headers):
    """A connection on which a body of 2 GB is announced, and `size` bytes of it come."""
    stream = opened.enter_context(its.open())
    stream.settimeout(5)
    lines = ["POST /v1/listen HTTP/1.1", "Host: gpu1", STRANGER, f"Content-Length: {GIGABYTES}", *headers]
    with contextlib.suppress(OSError):
        stream.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + b"x" * size)
    return stream


def buffered(its):
    """The bytes of each file in the buffer. NGINX takes their names away at once, and their space with the request."""
    master = its.children[0].pid
    workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    found = []
    for file in (file for worker in workers for file in Path(f"/proc/{worker}/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if f"{its.folder}/uploads/body/" in os.readlink(file):
                found.append(file.stat().st_size)
    return found


def reported(stream, seconds):
    """The answer's status; nothing where none comes in time."""
    stream.settimeout(seconds)
    try:
        return stream.recv(100).split()[1]
    except TimeoutError:
        return b""


def until(condition):
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def test_large_bodies_without_a_key_are_not_received(buffering):
    with contextlib.ExitStack() as opened:
        streams = [announced(buffering, opened, 2 << 20) for _ in range(60)]
        for stream in streams:
            assert stream.recv(100).split()[1] == b"401"
        assert buffered(buffering) == [] and buffering.api.heard == []


def test_many_large_bodies_hold_up_nobody_else_and_leave_nothing(buffering):
    buffering.api.heard.clear()
    with contextlib.ExitStack() as opened:
        for _ in range(40):
            announced(buffering, opened, 2 << 20, WITH_KEY)
        until(lambda: len(buffered(buffering)) == 40)
        times = []
        for _ in range(5):
            started = time.monotonic()
            assert buffering.ask(headers=[tuple(WITH_KEY.split(": "))])[0] == 200
            times.append(time.monotonic() - started)
        assert min(times) < FAST_S, times
        assert len(buffering.api.heard) == 5, "no server hears of a file before it is whole"
    until(lambda: buffered(buffering) == [])


@pytest.fixture
def small_disk(buffering):
    """The buffer on a file system of its own, of 24 MB."""
    place = buffering.folder / "uploads"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    (place / "body").mkdir()  # as NGINX does when it is reloaded
    yield
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_buffer_is_the_matter_of_those_who_filled_it(buffering, small_disk):
    own = tuple(WITH_KEY.split(": "))
    with contextlib.ExitStack() as opened:
        streams = [announced(buffering, opened, 4 << 20, WITH_KEY) for _ in range(8)]
        answers = [reported(stream, 1) for stream in streams]
        assert set(answers) == {b"", b"503"}, "some have no room, and the others are still to come"
        assert buffering.ask(headers=[own])[0] == 200
    until(lambda: buffered(buffering) == [])
    buffering.api.heard.clear()
    with contextlib.ExitStack() as opened:
        size = 3 << 20
        stream = opened.enter_context(buffering.open())
        stream.settimeout(5)
        stream.sendall(
            f"POST /v1/listen HTTP/1.1\r\nHost: gpu1\r\n{WITH_KEY}\r\nContent-Length: {size}\r\n\r\n".encode()
            + b"x" * size
        )
        assert stream.recv(100).split()[1] == b"200" and len(buffering.api.heard) == 1
