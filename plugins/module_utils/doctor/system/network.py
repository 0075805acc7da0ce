"""The doctor on the network below the service: name servers, packet sizes, and a firewall beside ours."""

import re

from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown
from ansible.module_utils.doctor.service import licence as service_licence

RESOLV = "/etc/resolv.conf"
SLOW_S, GIVEN_UP_S = 2.0, 3.0
LICENCES = "license.deepgram.com"
# A list, which the role writes over several lines, or one text.
SERVERS = re.compile(r"^\s*server_url\s*=\s*(\[[^\]]*\]|.*)", re.MULTILINE)
SERVER = re.compile(r"https?://\[?([A-Za-z][\w.-]*)")
TOMLS = ("/etc/deepgram/*/engine.toml", "/etc/deepgram/*/api.toml",
         "/etc/deepgram-license-proxy/license-proxy/license-proxy.toml")  # fmt: skip
BRIDGES = ("/sys/class/net/docker*/mtu", "/sys/class/net/br-*/mtu", "/sys/class/net/podman*/mtu")
MTU_FIX = (
    "set docker_daemon_options: {{mtu: {}}}, then dgctl provision; a network that is there already keeps its size until it is "
    "made again"
)
UFW, UFW_DEFAULTS, UFW_RULES = "/etc/ufw/ufw.conf", "/etc/default/ufw", "/etc/ufw/user.rules"
# As ufw writes its rules: `### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 in`.
TUPLE = re.compile(r"^### tuple ### (?:allow|limit)\S* (?:tcp|any) (\S+) ", re.MULTILINE)


def resolver(host):
    servers = re.findall(r"^\s*nameserver\s+(\S+)", host.read(RESOLV), re.MULTILINE)[:3]  # the C library asks three
    if not servers:
        return unknown(f"{RESOLV} names no server")
    values = [value for path in host.glob(*TOMLS) for value in SERVERS.findall(host.read(path))]
    names = [name for value in values for name in SERVER.findall(value)]
    took = {server: host.resolves(server, (names or [LICENCES])[0], GIVEN_UP_S) for server in servers}
    dead = [server for server, seconds in took.items() if seconds is None]
    if dead and not needed(host, names):
        return unknown(
            f"no answer from {listed(dead)}; no licence server is looked up", f"take it out of {RESOLV}, or repair it"
        )
    if len(dead) == len(servers):
        return unhealthy(
            f"no answer from {listed(dead)}", "the name servers are down or out of reach: nothing is found by its name"
        )
    if servers[0] in dead:
        seen = f"no answer from {servers[0]}, the first of {listed(servers)}"
        return unhealthy(
            seen,
            "every look-up waits for it before the next is asked",
        )
    slow = [server for server, seconds in took.items() if seconds is not None and seconds > SLOW_S]
    if slow and slow[0] == servers[0]:
        return unhealthy(
            f"{slow[0]} takes {took[slow[0]]:.1f} s",
            "the name server is overloaded, or those that it asks are out of reach",
        )
    if dead:
        return unknown(f"no answer from {listed(dead)}; {servers[0]} answers", f"take it out of {RESOLV}, or repair it")
    return healthy(f"{servers[0]} in {took[servers[0]]:.2f} s")


def needed(host, names):
    """Whether a licence server is looked up: none is where all are addresses, or stand in /etc/hosts."""
    known = host.read("/etc/hosts").split()
    return any(name not in known for name in names)


def mtu(host):
    outside = uplink(host)
    size = host.read(f"/sys/class/net/{outside}/mtu") if outside else ""
    if not size.isdecimal():
        return unknown("no way out is known")
    bridges = {path.split("/")[4]: host.read(path) for path in host.glob(*BRIDGES)}
    large = [f"{name} {value}" for name, value in bridges.items() if value.isdecimal() and int(value) > int(size)]
    if large:
        seen = f"{listed(large)} bytes, {outside} {size}"
        # Most networks tell whoever sends too much; it hurts where one drops that word, and licences are late then.
        hurts = service_licence.unreached(host)
        return unhealthy(seen, fix=MTU_FIX.format(size)) if hurts else unknown(seen, MTU_FIX.format(size))
    return healthy(f"{outside} {size}")


def uplink(host):
    """The interface of the default route; "" for none."""
    rows = [line.split() for line in host.read("/proc/net/route").splitlines()[1:]]
    ways = sorted((int(row[6]), row[0]) for row in rows if len(row) > 7 and row[1] == row[7] == "00000000")
    return ways[0][1] if ways else ""


def firewalls(host):
    port = (host.recorded("nginx_proxy").get("tls") or {}).get("port")
    ufw = "yes" in re.findall(r"^\s*ENABLED=(\w+)", host.read(UFW), re.MULTILINE)
    firewalld = host.unit("firewalld.service").get("ActiveState") == "active"
    if ufw and firewalld:
        return unhealthy("ufw and firewalld", "both write rules, and what one allows the other refuses",
                         "keep one: on the server, ufw disable, or systemctl disable --now firewalld")  # fmt: skip
    if ufw and port and closed_by_ufw(host, int(port)):
        return unhealthy(f"ufw lets nobody in to port {port}", "ufw was switched on after dgctl provision",
                         f"on the server: ufw allow {port}/tcp")  # fmt: skip
    if firewalld and port and closed_by_firewalld(host, port):
        return unhealthy(
            f"firewalld lets nobody in to port {port}", "somebody closed the port, or reloaded firewalld without it"
        )
    return healthy("ufw" if ufw else "firewalld" if firewalld else "none beside ours")


def closed_by_ufw(host, port):
    if not re.search(r'^\s*DEFAULT_INPUT_POLICY="?(DROP|REJECT)', host.read(UFW_DEFAULTS), re.MULTILINE):
        return False
    ranges = [part.partition(":") for ports in TUPLE.findall(host.read(UFW_RULES)) for part in ports.split(",")]
    numbers = [(low, high or low) for low, _, high in ranges]
    return not any(low == "any" or (low.isdecimal() and int(low) <= port <= int(high)) for low, high in numbers)


def closed_by_firewalld(host, port):
    reported = host.programs.also("firewalld", "firewall-cmd", f"--query-port={port}/tcp")
    return (
        reported.status == 1
        and reported.text.strip() == "no"
        and (
            int(port) != 443
            or host.programs.also("firewalld_https", "firewall-cmd", "--query-service=https").text.strip() == "no"
        )
    )


CHECKS = (
    Check(
        "resolver", resolver,
        f"every name server of {RESOLV}, asked for the licence server's name",
        f"an answer within {SLOW_S:g} s",
        "the name server is down, or out of reach",
        f"on the server: name one that answers in {RESOLV} (or where NetworkManager, netplan or systemd-resolved writes it from)",
        False, (), False,
        stands_on=("conntrack",),
    ),
    Check(
        "mtu", mtu,
        "packet sizes of the containers' bridges against the interface of the default route; only reported while licence "
        "servers answer",
        "no larger than the way out",
        "the containers send packets that do not pass: connections open, then hang when they say more",
        MTU_FIX.format("N"),
        False, (), False,
        stands_on=(),
    ),
    Check(
        "firewalls", firewalls,
        "whether ufw or firewalld runs beside our own rules, and lets callers in to NGINX's port",
        "one firewall, which lets callers in",
        "another firewall was switched on",
        "dgctl provision; or on the server: firewall-cmd --add-port=PORT/tcp, and the same with --permanent",
        False, (), False,
        stands_on=(),
    ),
)  # fmt: skip
