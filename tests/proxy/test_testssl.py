"""What testssl.sh (Debian's package, or TESTSSL=PATH) finds at a real NGINX with the role's site: nothing above "low".

Three minutes: it runs with DGCTL_TEST_ALL, as `bin/test --all` sets it, or where TESTSSL names the program.
"""

import json
import os
import shutil
import subprocess

import pytest

from tests.doctor import certificates
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


def test_no_finding_is_above_low(tmp_path):
    server, authority = tmp_path / "server.pem", tmp_path / "authority.pem"
    server.write_text("".join(certificates.made("gpu1", issuer="authority")))
    authority.write_text(certificates.root("authority"))
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
