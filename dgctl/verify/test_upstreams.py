"""What a proxy knows of the servers behind it: each that is not drained takes requests."""

import pytest
from testinfra.host import Host

from dgctl.verify.ask import Answer, ask

GROUPS = ("proxy",)
STATE = "/run/deepgram-upstreams/members.json"
LOOK = "journalctl -u deepgram-upstreams -n 50; "


@pytest.fixture(scope="module")
def upstreams(host: Host) -> dict[str, Answer]:
    return ask(host, {"state": f"cat {STATE}", "unit": "systemctl is-active deepgram-upstreams.service"})


def test_watched(upstreams, expect):
    """Somebody asks the servers all the time whether they work."""
    state = upstreams["unit"].out.strip() or str(upstreams["unit"])
    expect(state, "active", f"{LOOK}systemctl restart deepgram-upstreams.service")


def test_members_up(upstreams, wanted, expect):
    """Every server that is not drained is up, and there is one."""
    members = (upstreams["state"].json() or {}).get("members") or {}
    states = {name: member.get("state") for name, member in members.items()}
    missing = [node["name"] for node in wanted["nginx_proxy_nodes"] or [] if node["name"] not in states]
    states |= dict.fromkeys(missing, "not known here")
    open_ones = [state for state in states.values() if state != "drained"]
    seen = [f"{name} {state}" for name, state in sorted(states.items())] or upstreams["state"]
    down = [name for name, state in sorted(states.items()) if state not in ("up", "drained")]
    fix = f"{LOOK}cat {STATE}" + "".join(f"; dgctl verify --limit {name}" for name in down)
    expect(seen, "up, each that is not drained", fix, ok=bool(open_ones) and set(open_ones) == {"up"})
