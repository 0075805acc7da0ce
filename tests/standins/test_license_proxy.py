"""hermes relays check-ins, and says in /v1/status how its upstream is."""

from __future__ import annotations

from lab.deepgram.programs.license_proxy import Relay
from tests.ports import free_port

from .bench import get


def test_states_of_the_relay():
    clock = [1000.0]
    relay = Relay(clock=lambda: clock[0], trust_s=60)
    assert relay.body()["state"] == "Ready"
    relay.reached("key", {"licensed": True})
    assert relay.body()["state"] == "Connected"
    clock[0] += 30
    assert relay.missed("key") == {"licensed": True} and relay.missed("other") is None
    assert relay.body() == {
        "state": "TrustBased",
        "last_successful_checkin": "1970-01-01T00:16:40Z",
        "trust_expiration": "1970-01-01T00:17:40Z",
    }
    clock[0] += 31
    assert relay.missed("key") is None and relay.body()["state"] == "Failed"
    relay.reached("key", {"licensed": True})
    relay.refused("key")
    assert relay.missed("key") is None


def test_relays_over_its_own_certificate(bench):
    work, status = free_port(), free_port()
    document = {
        "license": {"server_url": bench.license_section["server_url"][0]},
        "server": {"host": "127.0.0.1", "port": work, "status_port": status, "base_url": "/"},
    }
    proxy = bench.run("hermes", "-v", "serve", bench.config("license-proxy.toml", document))
    proxy.wait_for("Listening on https")
    proxy.ports = {"http": status}
    assert get(proxy, "/v1/status").json() == {"state": "Ready"}
    config = {
        "license": {"server_url": [f"https://localhost:{work}"]},
        "server": {"host": "127.0.0.1", "port": free_port()},
    }
    api = bench.run("stem", "-v", "serve", bench.config("api-behind.toml", config))
    api.wait_for("Listening on http")
    assert get(proxy, "/v1/status").json()["state"] == "Connected"
    api.kill()
    refused = bench.run("stem", "-v", "serve", bench.config("api-behind.toml", config), DEEPGRAM_API_KEY="wrong")
    assert refused.ended() == 1 and "401 Unauthorized" in refused.output
    proxy.signal()
    assert proxy.ended() == 0


def test_needs_its_upstream_at_the_start(bench):
    document = {"license": {"server_url": f"http://127.0.0.1:{free_port()}"}}
    proxy = bench.run("hermes", "-v", "serve", bench.config("license-proxy.toml", document))
    assert proxy.ended() == 1
    assert "failed: Connection refused" in proxy.output


def test_its_server_is_text_and_the_others_is_a_list(bench):
    """As the chart of self-hosted-resources d78df52 writes them; the other form keeps a program from starting."""
    text, listed = f"http://127.0.0.1:{bench.license_port}", bench.license_section["server_url"]
    for program, form in (("hermes", listed), ("stem", text), ("impeller", text)):
        ended = bench.run(program, "-v", "serve", bench.config("form.toml", {"license": {"server_url": form}}))
        assert ended.ended() == 1 and "invalid type for key `license.server_url`" in ended.output, program
