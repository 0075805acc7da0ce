"""What testssl.sh (Debian's package, or TESTSSL=PATH) finds at a real NGINX with the role's site: nothing above "low".

Three minutes: it runs with DGCTL_TEST_ALL, as `bin/test --all` sets it, or where TESTSSL names the program.
"""

import json
import os
import shutil
import subprocess

import pytest

from tests.roles_app.proxy.real_nginx import NGINX, Proxy

TESTSSL = os.environ.get("TESTSSL") or (os.environ.get("DGCTL_TEST_ALL") and shutil.which("testssl"))
ABOVE_LOW = {"MEDIUM", "HIGH", "CRITICAL", "FATAL"}
ACCEPTED = {
    # Of the certificate, which is the user's: an authority of one's own names no list of revoked ones.
    "cert_revocation",
    # 3.0 wants the server's order; Mozilla's intermediate profile has the client's, as all ciphers are strong (3.3 agrees).
    "cipher_order",
}

pytestmark = [
    pytest.mark.skipif(not NGINX, reason="no nginx on this machine (apt-get install nginx)"),
    pytest.mark.skipif(not TESTSSL, reason="testssl.sh is not asked for (bin/test --all with the package testssl.sh)"),
]


@pytest.fixture
def certificate(tmp_path):
    """(server certificate with its key, authority's certificate), as a company's own authority signs one."""

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=authority", "-days", "300")
    openssl("req", *key, "-keyout", "key", "-out", "request", "-subj", "/CN=gpu1")
    (tmp_path / "extensions").write_text(
        "subjectAltName=DNS:gpu1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"
    )
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-days", "90", "-extfile", "extensions")
    openssl("x509", "-req", "-in", "request", *signed, "-out", "server.crt")
    both = tmp_path / "server.pem"
    both.write_text((tmp_path / "server.crt").read_text() + (tmp_path / "key").read_text())
    return both, tmp_path / "ca.crt"


def test_no_finding_is_above_low(tmp_path, certificate):
    server, authority = certificate
    proxy, found = Proxy(tmp_path, str(server)), tmp_path / "found.json"
    words = ["--ip", "127.0.0.1", "--add-ca", str(authority), "--warnings", "off", "--jsonfile", str(found)]
    try:
        done = subprocess.run([TESTSSL, *words, f"gpu1:{proxy.port}"], capture_output=True, text=True, check=False)
    finally:
        proxy.close()
    rows = json.loads(found.read_text()) if found.exists() else []
    assert len(rows) > 100, done.stdout + done.stderr
    worse = {row["id"]: row["finding"] for row in rows if row["severity"] in ABOVE_LOW}
    assert set(worse) <= ACCEPTED, worse
