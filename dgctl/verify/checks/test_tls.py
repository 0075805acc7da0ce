"""The TLS proxy from outside: trusted, the right name, not expiring, nothing outdated spoken, nothing private
shown.
"""

import ipaddress
import secrets
import socket
import ssl
from dataclasses import replace

import httpx
import pytest

from dgctl.verify import speech, tls
from dgctl.verify.certificates import TLS_DAYS
from dgctl.verify.expect import NO_CONCERN
from dgctl.verify.facts import is_guarded, runs

GROUPS = ("tls",)
CONFIG = "/etc/nginx/conf.d/deepgram.conf"
PRIVATE_PATHS = ("/v1/status", "/v1/status/engine", "/v1/models", "/v1/certificates", "/metrics")
PATHS = {"flux": "/v2/listen"}
# By the certificate's source.
FIXES = {
    "files": "set nginx_proxy_tls_certificate and nginx_proxy_tls_key to valid files and provision",
    "self-signed": "rm /etc/nginx/tls/deepgram.crt on the server and provision makes a new one",
    "acme": "on the server: systemctl start deepgram-acme; journalctl -u deepgram-acme -n 20",
}
TRUST_FIXES = {"acme": "set nginx_proxy_acme_ca_file to a file with the authority's own certificate"}


def certificate_fix(desired):
    return FIXES[desired["nginx_proxy_tls_source"] or "files"]


def attempt(action):
    """(result, "") or (None, why not)."""
    try:
        return action(), ""
    except (OSError, httpx.HTTPError) as problem:
        return None, tls.reason(problem)


def test_running(nginx, expect):
    """The cause of every check after it that says so."""
    masked = nginx.get("UnitFileState", "").startswith("masked")
    state = "masked" if masked else nginx.get("ActiveState") or "unknown to systemd"
    begin = "systemctl unmask nginx; " if masked else "systemctl status nginx; journalctl -u nginx -n 20; "
    expect(f"nginx is {state}", "nginx is active", f"{begin}dgctl provision", ok=runs(nginx) and not masked)


def test_trusted(proxy, desired, expect):
    """The chain leads to this machine's trust, or the self-signed certificate is exactly the server's own."""
    shaken, problem = attempt(lambda: tls.trusted(proxy))
    own = TRUST_FIXES.get(desired["nginx_proxy_tls_source"], "name its file in SSL_CERT_FILE")
    trust = "the server's own self-signed certificate" if proxy.only_trust else "this machine's trusted authorities"
    expect(
        shaken.version if shaken else problem,
        f"a chain to {trust}",
        f"{certificate_fix(desired)}; with an authority of your own, {own}",
        ok=shaken is not None,
    )


def test_name(proxy, desired, expect):
    shaken, problem = attempt(lambda: tls.named(proxy))
    fix = f"{certificate_fix(desired)}; or set nginx_proxy_server_name to a name in the certificate"
    expect(tls.names(shaken.certificate) if shaken else problem, proxy.name, fix, ok=shaken is not None)


def test_expiry(proxy, desired, expect):
    shaken, problem = attempt(lambda: tls.looked_at(proxy))
    expect(
        f"{shaken.days_left} days left" if shaken else problem,
        f"more than {TLS_DAYS} days",
        certificate_fix(desired),
        ok=shaken is not None and shaken.days_left > TLS_DAYS,
    )


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_refused(proxy, version, expect):
    spoken, problem = attempt(lambda: tls.speaks(proxy, ssl.TLSVersion[version]))
    if spoken is None and not problem:
        pytest.skip("this machine cannot offer that version itself")
    expect(problem or ("accepted" if spoken else "refused"), "refused", f"ssl_protocols in {CONFIG}")


def test_http2(proxy, expect):
    shaken, problem = attempt(lambda: tls.looked_at(proxy, "h2", "http/1.1"))
    expect(shaken.protocol if shaken else problem, "h2", f"`http2 on` in {CONFIG}")


def test_private(proxy, desired, expect):
    """Status and metrics are not for the public."""
    if proxy.tunnel:
        pytest.skip("this machine reaches the proxy only from the server itself, through SSH")
    if _allowed(proxy, desired["nginx_proxy_status_allow"] or []):
        pytest.skip("nginx_proxy_status_allow lets this machine ask")
    answers = {path: attempt(lambda path=path: speech.get(proxy, path)) for path in PRIVATE_PATHS}
    seen = [f"{path} {problem or status}" for path, (status, problem) in answers.items()]
    fix = f"nginx_proxy_status_allow, and the locations in {CONFIG}"
    closed = all(status in (403, 404) for status, _ in answers.values())
    expect(seen, "HTTP 403 or 404 for each", fix, ok=closed)


@pytest.mark.parametrize("shown", ["nothing", "a key of nobody's"])
def test_strangers(proxy, desired, shown, expect):
    """Who shows no key, or a wrong one, is refused; that the right one is served the transcription proves."""
    if not is_guarded(desired):
        pytest.skip(NO_CONCERN)
    key = secrets.token_hex(32) if shown != "nothing" else ""
    path = PATHS.get(desired["deepgram_profile"] or "stt", "/v1/listen")
    status, problem = attempt(lambda: speech.post(replace(proxy, key=key), path))
    fix = "dgctl provision; on the server: nginx -T | grep auth_request"
    expect(
        f"{path} with {shown}: {problem or f'HTTP {status}'}",
        "HTTP 401 (403 from a network that is not allowed)",
        fix,
        ok=status in (401, 403),
    )


def _allowed(proxy, networks):
    """True when the address from which this machine reaches the proxy is in one of `networks`."""
    with socket.socket(socket.AF_INET6 if ":" in proxy.address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((proxy.address, proxy.port))
        mine = ipaddress.ip_address(probe.getsockname()[0])
    return "all" in networks or any(mine in ipaddress.ip_network(one, strict=False) for one in networks)
