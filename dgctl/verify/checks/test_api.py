"""The API: known by its certificate where it has one; connected to an Engine, fit to serve; not near its end of life."""

import pytest

from dgctl.verify import certificates, tls
from dgctl.verify.facts import api_port

GROUPS = ("api",)


def test_health(service, runtime, expect):
    reported = service.answers["status"]
    health = (reported.json() or {}).get("system_health") if reported.ok else None
    fix = f"dgctl provision, where what failed is over (or {runtime.recreate('api')}); else {runtime.logs('engine')}"
    expect(health or str(reported), "Ready or Healthy", fix, ok=health in ("Ready", "Healthy"))


def test_engine_connected(service, runtime, expect):
    reported = service.answers["engine"]
    state = (reported.json() or {}).get("engine_connection_status") if reported.ok else None
    expect(state or str(reported), "Connected", f"{runtime.logs('engine')}; cat {runtime.file('api')}")


def test_end_of_life(service, expect):
    certificates.expect_life(service.answers["certificates"], expect)


RENEWAL = "dgctl provision, which renews it 30 days before its end; your own: deepgram_api_tls_certificate and its key"


def test_certificate(planned, desired, expect):
    """An API with TLS proves itself as NGINX asks it to: by the deployment's authority, by its name, for days to come."""
    if not desired["api_tls"]:
        pytest.skip("deepgram_api_tls is false: the API answers without TLS")
    proxy = api_port(planned)
    try:
        shown = tls.handshake(proxy, tls.context(proxy))
    except (OSError, ValueError) as problem:
        expect(tls.reason(problem), f"a certificate for {proxy.name} by {desired['api_tls']['authority']}", RENEWAL)
        return
    expect(f"{shown.days_left} days left", "7 days or more", RENEWAL, ok=shown.days_left >= 7)
