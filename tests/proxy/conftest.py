"""A certificate for a real NGINX of a test, of the name that the other deployment has."""

import subprocess

import pytest

CLOUD = "cloud.example.com"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    at = tmp_path_factory.mktemp("tls")
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "k",
        "-out",
        "c",
    ]
    subprocess.run([*words, "-subj", f"/CN={CLOUD}", "-addext", f"subjectAltName=DNS:{CLOUD}", "-days", "2"], cwd=at, check=True,
                   capture_output=True)  # fmt: skip
    both = at / "both.pem"
    both.write_text((at / "c").read_text() + (at / "k").read_text())
    return str(both)
