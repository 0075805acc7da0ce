"""The License Proxy: it reaches Deepgram's licence servers, and has not to live on what it remembers."""

import pytest
from testinfra.host import Host

from dgctl.verify import certificates
from dgctl.verify.ask import Answer, ask
from dgctl.verify.facts import ask_at

GROUPS = ("license_proxy",)


@pytest.fixture(scope="module")
def license_proxy(host: Host, desired) -> dict[str, Answer]:
    at = f"http://{ask_at(desired['license_proxy_status_bind_address'])}:{desired['license_proxy_status_port']}/v1"
    return ask(host, {"status": f"fetch {at}/status", "certificates": f"fetch {at}/certificates"})


def test_state(license_proxy, runtime, expect):
    """Ready: nobody has asked it yet. TrustBased: it answers from memory, for a time that is not known."""
    reported = license_proxy["status"]
    state = (reported.json() or {}).get("state") if reported.ok else None
    fix = f"{runtime.logs('license-proxy')}; does this server reach license_proxy_servers, port 443?"
    expect(state or str(reported), "Connected or Ready", fix, ok=state in ("Connected", "Ready"))


def test_end_of_life(license_proxy, expect):
    certificates.expect_life(license_proxy["certificates"], expect)
