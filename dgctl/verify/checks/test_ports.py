"""Ports of the host that are not for everyone: nothing behind them asks who you are."""

import socket

import pytest

from dgctl.verify import tls

GROUPS = ("api", "engine")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
PORTS = {"api": "api", "engine": "metrics"}


@pytest.mark.parametrize("part", list(PORTS))
def test_closed(address, behind_jump, planned, desired, part, expect):
    """A port bound to the loopback address, or guarded by host_firewall, does not answer from here."""
    port = PORTS[part]
    number, bound = desired[f"deepgram_{port}_port"], desired[f"deepgram_{port}_bind_address"]
    if bound not in LOOPBACK and not desired["host_firewall_rules"]:
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
        f"ss -ltnp | grep :{number}; nft list table inet deepgram; dgctl provision",
        ok=seen != "open",
    )
