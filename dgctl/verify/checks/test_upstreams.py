"""What a proxy knows of the servers behind it: each that is not drained takes requests."""

import time

import pytest
from testinfra.host import Host

from dgctl.verify.ask import Answer, ask

GROUPS = ("proxy",)
STATE = "/run/deepgram-upstreams/members.json"
PATIENCE_S = 20  # a server that has just begun to serve is believed after some good answers in a row
LOOK = "journalctl -u deepgram-upstreams -n 50; "


@pytest.fixture(scope="module")
def upstreams(host: Host, desired: dict) -> dict[str, Answer]:
    """What the proxy says, once it has made up its mind about every server."""
    until = time.monotonic() + PATIENCE_S
    while True:
        reported = ask(host, {"state": f"cat {STATE}", "unit": "systemctl is-active deepgram-upstreams.service"})
        if (
            not set(_states(reported["state"], _names(desired)).values()) - {"up", "drained"}
            or time.monotonic() > until
        ):
            return reported
        time.sleep(1)


def _names(desired: dict) -> list[str]:
    return [node["name"] for node in desired["nginx_proxy_nodes"] or []]


def _states(reported: Answer, names: list[str]) -> dict[str, str]:
    """Server -> up, down, drained, or that the proxy does not know it."""
    members = (reported.json() or {}).get("members") or {}
    known = {name: str(member.get("state")) for name, member in members.items()}
    return dict.fromkeys(names, "not known here") | known


def test_watched(upstreams, expect):
    """Somebody asks the servers all the time whether they work."""
    state = upstreams["unit"].out.strip() or str(upstreams["unit"])
    expect(state, "active", f"{LOOK}systemctl restart deepgram-upstreams.service")


def test_members_up(upstreams, desired, expect):
    """Every server that is not drained is up, and there is one."""
    states = _states(upstreams["state"], _names(desired))
    open_ones = [state for state in states.values() if state != "drained"]
    seen = [f"{name} {state}" for name, state in sorted(states.items())] or upstreams["state"]
    down = [name for name, state in sorted(states.items()) if state not in ("up", "drained")]
    fix = f"{LOOK}cat {STATE}" + "".join(f"; dgctl verify --limit {name}" for name in down)
    expect(seen, "up, each that is not drained", fix, ok=bool(open_ones) and set(open_ones) == {"up"})
