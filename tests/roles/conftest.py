"""Runs this checkout's modules inside the test process, on programs and servers that the test puts there."""

import contextlib
import datetime
import importlib
import ipaddress
import json
import os
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.testing import patch_module_args
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, settings

from tests import tls_server, utilities
from tests.paths import PROJECT

# A busy machine is no fault of the code under test.
EXAMPLES = int(os.environ.get("DGCTL_TEST_EXAMPLES", "60"))
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=EXAMPLES)
settings.load_profile("patient")
utilities.use()
sys.path.append(str(PROJECT / "plugins" / "modules"))


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """call(module, check=False, **arguments): the result of one of this checkout's modules."""

    def run(name, check=False, **arguments):
        arguments |= {"_ansible_check_mode": check, "_ansible_remote_tmp": str(tmp_path), "_ansible_diff": True}
        capsys.readouterr()
        with patch_module_args(arguments), contextlib.suppress(SystemExit):
            importlib.import_module(name).main()
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def program(tmp_path, monkeypatch):
    """program(name, script): a shell script of that name, found before any other."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def write(name, script):
        path = folder / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)

    return write


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A file with a self-signed certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    made = builder.add_extension(x509.SubjectAlternativeName(names), False).sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def https(certificate, monkeypatch):
    """https(answer): starts a trusted TLS server and returns its host:port.

    answer(method, path, headers) returns (status, headers, body).
    """
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    servers = []

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            def respond(self):
                status, headers, body = answer(self.command, self.path, self.headers)
                self.send_response(status)
                for key, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = respond

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        tls_server.secure(server, context)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"localhost:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
