#!/usr/bin/python3
"""Lets only the servers that need a port reach it: a table of nftables of its own, `inet deepgram`.

  host-firewall apply      puts the table in place, whole or not at all
  host-firewall remove     takes it away
  host-firewall check      exit status 0 when the kernel has the table as it should be

The table counts before Docker's and Podman's translation of addresses, for what is sent to this server itself; and after it
for what is passed on to a container: only what came through a published port goes there, and nothing that a neighbour sends to
the container's own address. Connections that exist stay. No other table is touched.

What cannot be read opens nothing: without its rules the table of before counts, and without that one it fails.
"""

import hashlib
import ipaddress
import json
import os
import socket
import subprocess
import sys
import tempfile

# {"rules": [{name, port, sources}], "container_ports": [port], "container_blocked": [network], "container_reach": [source]}
RULES = "/etc/deepgram-firewall.json"
KEPT = "/var/lib/deepgram-firewall/addresses.json"  # name -> addresses, for a boot without DNS
LAST = "/var/lib/deepgram-firewall/table.nft"  # what was put in place last
IN_FORCE = (
    "/run/deepgram-firewall.in-force"  # there while the table is: Docker and the containers' units start only then
)
TABLE = "inet deepgram"
# What Docker (docker0, br-ID) and Podman (podman0) call the bridges of their containers.
BRIDGES = ("docker*", "br-*", "podman*", "cni-*")


def nft(*words, text=None):
    return subprocess.run(["nft", *words], input=text, capture_output=True, text=True, timeout=60)


def load(path):
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def remembered():
    """name -> addresses as they were known last; nothing where that cannot be read."""
    try:
        known = load(KEPT)
        return {str(name): [str(one) for one in addresses] for name, addresses in known.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        print(f"host-firewall: {KEPT} cannot be read ({error}): names are resolved again", file=sys.stderr)
        return {}


def keep(path, text):
    """Replaces a file at once, and has it on the disk before it returns."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle, new = tempfile.mkstemp(dir=os.path.dirname(path))
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(handle)
    os.replace(new, path)


def network(text):
    """A network of what is an address or a network; None for a name."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def resolve(name, last):
    """The addresses of a name, sorted; those known last while it does not resolve."""
    try:
        return sorted({entry[4][0].partition("%")[0] for entry in socket.getaddrinfo(name, None)})
    except (OSError, UnicodeError):
        return last


def resolved(sources, last):
    """(name -> addresses, names that lead nowhere) of all sources that are names."""
    names = {source for source in sources if network(source) is None}
    found = {name: resolve(name, last.get(name, [])) for name in sorted(names)}
    return found, [name for name, addresses in found.items() if not addresses]


def by_family(sources, addresses):
    """(ip or ip6, their networks as the elements of a set) of sources; nothing of a family without any."""
    texts = [one for source in sources for one in addresses.get(source, [source])]
    networks = {found for found in map(network, texts) if found is not None}
    for version, family in ((4, "ip"), (6, "ip6")):
        own = ipaddress.collapse_addresses(sorted(one for one in networks if one.version == version))
        elements = ", ".join(str(one) for one in own)
        if elements:
            yield family, elements


def accepted(rule, addresses):
    """The lines that let a rule's sources in, one a family."""
    for family, elements in by_family(rule["sources"], addresses):
        yield f"{family} saddr {{ {elements} }} tcp dport {int(rule['port'])} accept"


def to_server(rules, addresses):
    """The lines about what is sent to this server itself."""
    ports = sorted({int(rule["port"]) for rule in rules})
    return [
        "type filter hook prerouting priority -150; policy accept;",
        'iifname "lo" accept',
        "fib daddr type != local accept",
        "ct state established,related accept",
        *(line for rule in rules for line in accepted(rule, addresses)),
        f"tcp dport {{ {listed(ports)} }} counter drop",
    ]


def to_containers(ports, reach, blocked, addresses):
    """The lines about what is passed on to containers, which a published port has led there; and about what they send."""
    return [
        "type filter hook forward priority -150; policy accept;",
        "ct state established,related accept",
        "ct status dnat accept",
        *(line for bridge in BRIDGES for line in from_containers(bridge, reach, blocked, addresses)),
        *(f'oifname "{bridge}" tcp dport {{ {listed(sorted(map(int, ports)))} }} counter drop' for bridge in BRIDGES),
    ]


def from_containers(bridge, reach, blocked, addresses):
    """What containers on a bridge send: to each other, to what they need, and to nothing that is blocked but for DNS."""
    yield f'iifname "{bridge}" oifname "{bridge}" accept'
    for family, elements in by_family(reach, addresses) if blocked else ():
        yield f'iifname "{bridge}" {family} daddr {{ {elements} }} accept'
    for family, elements in by_family(blocked, addresses):
        yield f'iifname "{bridge}" {family} daddr {{ {elements} }} tcp dport != 53 counter drop'
    yield f'iifname "{bridge}" accept'


def listed(ports):
    return ", ".join(map(str, ports))


def table(rules, addresses, container_ports=(), reach=(), blocked=()):
    """The table's text; its comment is a sum over its lines."""
    chains = {"prerouting": to_server(rules, addresses)} if rules else {}
    if container_ports:
        chains["forward"] = to_containers(container_ports, reach, blocked, addresses)
    text = "".join(f"    chain {name} {{\n{indented(lines)}    }}\n" for name, lines in chains.items())
    comment = hashlib.sha256(text.encode()).hexdigest()[:32]
    return comment, f'table {TABLE} {{\n    comment "{comment}"\n{text}}}\n'


def indented(lines):
    return "".join(f"        {line}\n" for line in lines)


def desired():
    """(comment, text, name -> addresses, names that lead nowhere). Raises OSError, or one of WRONG for rules that are torn."""
    reported = load(RULES)
    rules, (ports, reach, blocked) = (
        reported["rules"],
        (reported.get(f"container_{key}", ()) for key in ("ports", "reach", "blocked")),
    )
    sources = [*(source for rule in rules for source in rule["sources"]), *reach]
    addresses, lost = resolved(sources, remembered())
    return (*table(rules, addresses, ports, reach, blocked), addresses, lost)


WRONG = (OSError, ValueError, KeyError, TypeError, AttributeError)


def put(text):
    # The first line makes the second one work where there is no table yet; all of it is one transaction.
    done = nft("-f", "-", text=f"table {TABLE}\ndelete table {TABLE}\n{text}")
    if done.returncode != 0:
        sys.exit(f"host-firewall: nft: {' '.join(done.stderr.split())[:400]}")
    with open(IN_FORCE, "w", encoding="ascii"):
        pass


def apply():
    try:
        _comment, text, addresses, lost = desired()
    except WRONG as error:
        return again(error)
    put(text)
    keep(KEPT, json.dumps(addresses))
    keep(LAST, text)
    if lost:
        print(f"host-firewall: no address for {', '.join(lost)}: they are kept out", file=sys.stderr)


def again(error):
    """Puts the table of before in place; fails where there is none."""
    try:
        with open(LAST, encoding="utf-8") as stream:
            text = stream.read()
    except OSError:
        sys.exit(f"host-firewall: {RULES}: {error}, and no table was kept. Fix: dgctl provision")
    put(text)
    print(f"host-firewall: {RULES}: {error}; the table of before counts. Fix: dgctl provision", file=sys.stderr)


def remove():
    if os.path.exists(IN_FORCE):
        os.unlink(IN_FORCE)
    nft("delete", "table", *TABLE.split())


def check():
    seen = nft("list", "table", *TABLE.split())
    try:
        sys.exit(0 if seen.returncode == 0 and desired()[0] in seen.stdout and os.path.exists(IN_FORCE) else 1)
    except WRONG as error:
        sys.exit(f"host-firewall: {RULES}: {error}")


if __name__ == "__main__":
    commands = {"apply": apply, "remove": remove, "check": check}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]]()
