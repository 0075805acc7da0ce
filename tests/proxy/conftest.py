"""A certificate for a real NGINX of a test, of the name that the other deployment has."""

import pytest

from tests import certificates

CLOUD = "cloud.example.com"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    name = f"subjectAltName=DNS:{CLOUD}"
    return str(certificates.made(tmp_path_factory.mktemp("tls"), CLOUD, "-addext", name))
