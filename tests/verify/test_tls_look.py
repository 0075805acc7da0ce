"""Trust, name, expiry and versions against TLS servers on loopback; each wrong certificate is refused."""

import ssl
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from dgctl.verify import speech, tls
from tests.verify import loopback
from tests.verify.loopback import NAME, Service


@pytest.fixture
def served(tmp_path):
    """served(certificate_name, days, trusted=...) -> a Proxy to a running server; default trust: its own."""
    running = []

    def make(name=NAME, days=100, trusted=None, asked=NAME, **context):
        pem, file = loopback.self_signed(tmp_path, name, days)
        service = Service(loopback.server_context(file, **context)).__enter__()
        running.append(service)
        proxy = tls.Proxy("127.0.0.1", service.port, asked, pem if trusted is None else trusted or None)
        return proxy, service

    yield make
    for service in running:
        service.__exit__()


def as_clients(proxy):
    """A handshake as clients make it: chain, name and day."""
    return tls.handshake(proxy, tls.context(proxy))


def test_the_server_s_own_certificate_is_trusted_with_its_name(served):
    proxy, _ = served()
    shaken = as_clients(proxy)
    assert shaken.version in ("TLSv1.2", "TLSv1.3")
    assert (shaken.days_left, tls.names(shaken.certificate)) == (100, [NAME, "127.0.0.9"])


def test_a_self_signed_certificate_is_not_trusted_by_the_system(served):
    proxy, _ = served(trusted="")
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        tls.trusted(proxy)
    assert tls.reason(caught.value).replace("self signed", "self-signed") == "self-signed certificate"
    assert tls.reason(TimeoutError("timed out")) == "no answer"
    assert tls.reason(ConnectionRefusedError(111, "Connection refused")) == "Connection refused"


def test_the_system_s_trust_is_what_ssl_cert_file_says(served, tmp_path, monkeypatch):
    proxy, _ = served(trusted="")
    monkeypatch.setenv("SSL_CERT_FILE", str(next(tmp_path.glob("*.pem"))))
    assert as_clients(proxy).days_left == 100


def test_an_authority_of_one_s_own_is_trusted_beside_the_system_s(served):
    proxy, _ = served(trusted="")
    own = shown_pem(proxy)
    assert as_clients(replace(proxy, also_trust=own)).days_left == 100
    with pytest.raises(ssl.SSLCertVerificationError):
        as_clients(proxy)


def shown_pem(proxy):
    return tls.looked_at(proxy).certificate.public_bytes(Encoding.PEM).decode()


def test_a_right_name_is_right_on_a_certificate_that_nobody_trusts(served):
    assert NAME in tls.names(tls.named(served(trusted="")[0]).certificate)


def test_another_certificate_than_the_pinned_one_is_refused(served, tmp_path):
    pinned, _ = loopback.self_signed(tmp_path, "other.example.test")
    proxy, _ = served(trusted=pinned)
    with pytest.raises(ssl.SSLError):
        tls.trusted(proxy)


def test_the_same_key_s_authority_is_not_enough_only_the_certificate_itself(served, tmp_path):
    """Two certificates of the same name: a trust by name alone would let the other one pass."""
    pinned, _ = loopback.self_signed(tmp_path, NAME, days=50)
    proxy, _ = served(trusted=pinned)
    with pytest.raises(ssl.SSLError):
        tls.trusted(proxy)


def test_a_wrong_name_is_refused_and_named(served):
    proxy, _ = served(asked="gpu2.example.test")
    tls.trusted(proxy)
    for look in (as_clients, tls.named):
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            look(proxy)
        assert "gpu2.example.test" in tls.reason(caught.value)


def test_an_expired_certificate_is_refused_and_its_age_known(served):
    proxy, _ = served(days=-3)
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        as_clients(proxy)
    assert "expired" in tls.reason(caught.value)
    assert tls.looked_at(proxy).days_left == -3
    assert tls.trusted(proxy) and tls.named(proxy)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_seen_where_spoken_and_only_there(served, version):
    assert tls.speaks(served()[0], version) is False
    assert tls.speaks(served(oldest=ssl.TLSVersion.TLSv1)[0], version) is True


def test_http2_is_seen_where_offered_and_only_there(served):
    assert tls.looked_at(served()[0], "h2", "http/1.1").protocol == "http/1.1"
    assert tls.looked_at(served(protocols=("h2", "http/1.1"))[0], "h2", "http/1.1").protocol == "h2"


def test_nobody_listens(served):
    proxy = tls.Proxy("127.0.0.1", 1, NAME)
    with pytest.raises(OSError) as caught:
        tls.looked_at(proxy)
    assert tls.reason(caught.value) == "Connection refused"


def test_a_page_is_asked_at_the_address_under_the_name(served, monkeypatch):
    """The proxy of the environment is not used, and the Host header is the server's name."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    proxy, service = served()
    assert speech.get(proxy, "/v1/status") == 403
    assert service.asked == [{"path": "/v1/status", "host": f"{NAME}:{proxy.port}"}]
