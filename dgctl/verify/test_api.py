"""The API: connected to an Engine, fit to serve, not near its end of life, not open to the network."""

import socket

import pytest

from dgctl.verify import certificates, tls

GROUPS = ("node", "api")
MIN_DAYS = 90
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def test_health(service, runtime, expect):
    said = service.answers["status"]
    health = (said.json() or {}).get("system_health") if said.ok else None
    fix = f"{runtime.logs('api')}; after a repair: {runtime.recreate('api')} forgets the failed requests"
    expect(health or str(said), "Ready or Healthy", fix, ok=health in ("Ready", "Healthy"))


def test_engine_connected(service, runtime, expect):
    said = service.answers["engine"]
    state = (said.json() or {}).get("engine_connection_status") if said.ok else None
    expect(state or str(said), "Connected", f"{runtime.logs('engine')}; cat /etc/deepgram/api/api.toml")


def test_end_of_life(service, expect):
    """An expired program refuses to start: the release must be replaced before."""
    said = service.answers["certificates"]
    end = (said.json() or {}).get("end_of_life") if said.ok else None
    days = certificates.days_left(end) if end else None
    expect(
        f"{days} days left ({end})" if end else str(said),
        f"at least {MIN_DAYS} days",
        "set a newer deepgram_release and provision",
        ok=days is not None and days >= MIN_DAYS,
    )


@pytest.mark.parametrize("port", ["api", "metrics"])
def test_port_closed(address, behind_jump, planned, wanted, port, expect):
    """A port bound to the loopback address does not answer from here: nothing behind it asks who you are."""
    number, bound = wanted[f"deepgram_{port}_port"], wanted[f"deepgram_{port}_bind_address"]
    if bound not in LOOPBACK:
        pytest.skip(f"bound to {bound} as configured")
    if behind_jump:
        pytest.skip("SSH goes through another machine: what this one cannot reach proves nothing")
    if not planned["route"]["login"] or address in LOOPBACK:
        pytest.skip("asked from the server itself")
    try:
        socket.create_connection((address, int(number)), 3).close()
        seen = "open"
    except OSError as problem:
        seen = tls.reason(problem)
    expect(
        f"{address}:{number}: {seen}",
        "closed",
        f"ss -ltnp | grep :{number}; dgctl provision",
        ok=seen != "open",
    )
