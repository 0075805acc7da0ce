"""The doctor on what a proxy knows of the servers behind it: who is down, and who was drained and forgotten."""

import calendar
import time

from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown

UNIT = "deepgram-upstreams.service"
OPERATOR = "operator"
HOUR = 3600
# A run gives a server back when it ends; a person may have a reason for some days.
FORGOTTEN_S = {OPERATOR: 7 * 24 * HOUR, "": 6 * HOUR}


def path(host):
    return (host.recorded("nginx_proxy").get("tls") or {}).get("members")


def watched(host):
    if not path(host):
        return unknown("no proxy of other servers is on record here")
    state = host.unit(UNIT).get("ActiveState", "")
    if not state:
        return unknown("systemd does not say")
    return healthy(state) if state in ("active", "reloading") else unhealthy(f"{UNIT} is {state}")


def members(host):
    place = path(host)
    report = host.json(place) if place else None
    known = report.get("members") if isinstance(report, dict) else None
    if not isinstance(known, dict):
        return unknown("no proxy of other servers is on record here" if not place else f"{place} cannot be read")
    known = {name: one for name, one in known.items() if one.get("known", True)}
    down = [f"{name} ({one.get('health') or 'no answer'})" for name, one in known.items() if one.get("state") == "down"]
    if down:
        name = down[0].partition(" ")[0]
        return unhealthy(f"down: {listed(down)}", fix=f"dgctl doctor --limit {name}")
    drained = {name: one for name, one in known.items() if one.get("state") == "drained"}
    late = [name for name, one in drained.items() if forgotten(host, one)]
    if late:
        why = drained[late[0]].get("note") or drained[late[0]].get("reason") or "nobody said why"
        return unhealthy(f"drained since {drained[late[0]]['since']}: {listed(late)} ({why})",
                         "it was drained, and never undrained", f"dgctl undrain {late[0]}")  # fmt: skip
    if drained:
        return unknown(f"drained: {listed(drained)}", f"dgctl undrain {next(iter(drained))}, when it may serve again")
    return healthy(f"{len(known)} up")


def forgotten(host, one):
    try:
        since = calendar.timegm(time.strptime(one.get("since") or "", "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return False
    return host.started - since > FORGOTTEN_S.get(one.get("reason"), FORGOTTEN_S[""])


CHECKS = (
    Check(
        "upstreams watched", watched,
        "the unit deepgram-upstreams.service, which asks the servers behind a proxy how they are",
        "active",
        "it ended: NGINX keeps sending requests to whoever served last",
        f"on the server: systemctl restart {UNIT}; journalctl -u {UNIT} -n 50",
        True, ("upstreams.watched",), False,
        stands_on=("files:/etc/nginx/deepgram", "files:/usr/local/lib/deepgram", "disk"),
    ),
    Check(
        "upstreams", members,
        "what the proxy knows of the servers behind it; a server that was drained lately is only reported",
        "up, each that is not drained",
        "the server does not answer, or says itself that it cannot serve",
        "dgctl doctor --limit NAME; or dgctl undrain NAME, where it may serve again",
        False, ("upstreams.members_up",), False,
        stands_on=("upstreams watched", "resolver", "api health", "api engine", "containers"),
    ),
)  # fmt: skip
