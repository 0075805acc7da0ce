"""Addresses that must answer, and the certificate on a port."""

import socket
import ssl
import threading

import pytest


def test_an_address_that_answers_and_what_it_says(host, web):
    url = f"http://127.0.0.1:{web.port}/v1/status"
    web.table["/v1/status"] = (200, '{"system_health": "Healthy"}')
    host.record(answers=[url])
    reported, _ = host.ask()
    assert reported["roles"]["role"]["drift"] == []
    assert reported["answers"] == {url: {"system_health": "Healthy"}}


def test_an_answer_that_is_no_json(host, web):
    url = f"http://localhost:{web.port}/metrics"
    web.table["/metrics"] = (200, "a 1\n")
    host.record(answers=[url])
    reported, _ = host.ask()
    assert (reported["roles"]["role"]["state"], reported["answers"]) == ("right", {url: None})


def test_an_address_that_answers_something_else(host, web):
    url = f"http://127.0.0.1:{web.port}/v1/status"
    web.table["/v1/status"] = (503, "{}")
    host.record(answers=[url])
    assert host.drift() == [f"address {url}: answers with status 503"]


def test_an_address_where_nothing_listens(host):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    host.record(answers=[url])
    reported, _ = host.ask()
    assert reported["roles"]["role"]["drift"] == [
        {"thing": f"address {url}", "how": "does not answer: [Errno 111] Connection refused"}
    ]
    assert reported["answers"] == {url: None}


@pytest.mark.parametrize("speech", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 OK\r\n\r\n", None])
def test_an_address_that_speaks_something_else(host, speech):
    """None: it says nothing and keeps the connection."""
    host.set("host.network", TIMEOUT_S=0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            connection.recv(1000)
            if speech is not None:
                connection.sendall(speech)
                connection.close()
            return connection

        held = []
        threading.Thread(target=lambda: held.append(answer()), daemon=True).start()
        host.record(answers=[f"http://127.0.0.1:{server.getsockname()[1]}/"])
        (reported,) = host.drift()
    assert reported.endswith(
        "does not answer: timed out" if speech is None else "does not answer: its answer is no HTTP"
    )


@pytest.fixture
def port(certificate):
    """A port that serves the certificate "served"."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate("served"))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            while True:
                try:
                    context.wrap_socket(server.accept()[0], server_side=True).close()
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


def declared(port, path):
    return {"address": "127.0.0.1", "port": port, "server_name": "gpu1.example.com", "certificate": path}


def test_the_certificate_on_a_port(host, port, certificate, tmp_path):
    host.record(tls=declared(port, str(tmp_path / "served.pem")))
    assert host.drift() == []
    other = certificate("other")
    host.record(tls=declared(port, other))
    assert host.drift() == [f"certificate on port {port}: is another than the one in {other}"]


@pytest.mark.parametrize("text", [None, "no certificate", "-----BEGIN CERTIFICATE-----\n%%\n-----END CERTIFICATE-----"])
def test_a_certificate_s_file_that_cannot_be_used(host, port, tmp_path, text):
    path = tmp_path / "bad.pem"
    if text is not None:
        path.write_text(text)
    host.record(tls=declared(port, str(path)))
    (reported,) = host.drift()
    assert reported.startswith(f"certificate on port {port}: ")


def test_a_port_that_serves_nothing(host, certificate):
    path = certificate("served")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    host.record(tls=declared(number, path))
    assert host.drift()[0].startswith(f"certificate on port {number}: cannot be compared with {path}: [Errno 111]")
