#!/usr/bin/python3
"""Lets only the servers that need a port reach it: a table of nftables of its own, `inet deepgram`.

  host-firewall apply      puts the table in place, whole or not at all
  host-firewall remove     takes it away
  host-firewall check      exit status 0 when the kernel has the table as it should be

The table counts before Docker's and Podman's translation of addresses, and only for what is sent to this server itself.
Connections that exist stay. No other table is touched.
"""

import hashlib
import ipaddress
import json
import os
import socket
import subprocess
import sys
import tempfile

RULES = "/etc/deepgram-firewall.json"  # {"rules": [{name, port, sources}]}
KEPT = "/var/lib/deepgram-firewall/addresses.json"  # name -> addresses, for a boot without DNS
TABLE = "inet deepgram"


def nft(*words, text=None):
    return subprocess.run(["nft", *words], input=text, capture_output=True, text=True, timeout=60)


def load(path):
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except FileNotFoundError:
        return {}


def keep(path, document):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle, new = tempfile.mkstemp(dir=os.path.dirname(path))
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(document, stream)
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


def resolved(rules, last):
    """(name -> addresses, names that lead nowhere) of all sources that are names."""
    names = {source for rule in rules for source in rule["sources"] if network(source) is None}
    found = {name: resolve(name, last.get(name, [])) for name in sorted(names)}
    return found, [name for name, addresses in found.items() if not addresses]


def accepted(rule, addresses):
    """The lines that let a rule's sources in, one a family."""
    texts = [one for source in rule["sources"] for one in addresses.get(source, [source])]
    networks = {found for found in map(network, texts) if found is not None}
    for version, family in ((4, "ip"), (6, "ip6")):
        own = ipaddress.collapse_addresses(sorted(one for one in networks if one.version == version))
        listed = ", ".join(str(one) for one in own)
        if listed:
            yield f"{family} saddr {{ {listed} }} tcp dport {int(rule['port'])} accept"


def table(rules, addresses):
    """The table's text; its comment is a sum over its lines."""
    ports = sorted({int(rule["port"]) for rule in rules})
    lines = [
        "type filter hook prerouting priority -150; policy accept;",
        'iifname "lo" accept',
        "fib daddr type != local accept",
        "ct state established,related accept",
        *(line for rule in rules for line in accepted(rule, addresses)),
        f"tcp dport {{ {', '.join(map(str, ports))} }} counter drop",
    ]
    body = "".join(f"        {line}\n" for line in lines)
    comment = hashlib.sha256(body.encode()).hexdigest()[:32]
    return comment, f'table {TABLE} {{\n    comment "{comment}"\n    chain prerouting {{\n{body}    }}\n}}\n'


def wanted():
    """(comment, text, name -> addresses, names that lead nowhere)."""
    rules = load(RULES)["rules"]
    addresses, lost = resolved(rules, load(KEPT))
    return (*table(rules, addresses), addresses, lost)


def apply():
    _comment, text, addresses, lost = wanted()
    # The first line makes the second one work where there is no table yet; all of it is one transaction.
    done = nft("-f", "-", text=f"table {TABLE}\ndelete table {TABLE}\n{text}")
    if done.returncode != 0:
        sys.exit(f"host-firewall: nft: {' '.join(done.stderr.split())[:400]}")
    keep(KEPT, addresses)
    if lost:
        print(f"host-firewall: no address for {', '.join(lost)}: they are kept out", file=sys.stderr)


def remove():
    nft("delete", "table", *TABLE.split())


def check():
    seen = nft("list", "table", *TABLE.split())
    sys.exit(0 if seen.returncode == 0 and wanted()[0] in seen.stdout else 1)


if __name__ == "__main__":
    commands = {"apply": apply, "remove": remove, "check": check}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]]()
