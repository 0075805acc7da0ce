"""Faults of the licence: the server is out of reach or refuses the key, or packets that are too large are lost on the way.

Rules of the server's own kernel send its containers' requests elsewhere; the lab's licence server, which others ask too, stays.
"""

from __future__ import annotations

from lab.containers.engine import docker
from lab.faults.containers import AGAIN, recreate_engine
from lab.faults.registry import heal, inject
from lab.faults.target import Target

SERVER = "$(getent ahostsv4 license.lab.test | awk '{ print $1; exit }')"
REFUSING = "lab-license-server-refusing"
PORT = 9443
REFUSE = f"PREROUTING -d {SERVER} -p tcp --dport 443 -j DNAT --to-destination :{PORT}"
REJECT = f"FORWARD -d {SERVER} -p tcp --dport 443 -j REJECT --reject-with tcp-reset"
NOW = "since=$(date +%s)\n"
SMALLER = 1400
LOSE = f"FORWARD -m length --length {SMALLER + 1}:65535 -j DROP"
# It ends without a licence, and is started again and again.
RESTART = "docker restart -t 1 deepgram-engine >/dev/null\n"
# Whoever serves asks every minute.
COMPLAINS = """
for try in $(seq 100); do
    docker logs --since "$since" deepgram-engine 2>&1 | grep 'Aegis request' | tail -n 1 | grep . && break
    sleep 1
done
"""


def added(table: str, rule: str) -> str:
    return f"iptables -t {table} -C {rule} 2>/dev/null || iptables -t {table} -I {rule}\n"


def removed(table: str, rule: str) -> str:
    return f"iptables -t {table} -D {rule} 2>/dev/null || true\n"


@inject("licence-unreachable")
def unreachable(target: Target) -> str:
    return target.sh(NOW + added("filter", REJECT) + RESTART + AGAIN + COMPLAINS)


@inject("licence-refused")
def refused(target: Target) -> str:
    """The licence server answers 401 to the key, as to one that was withdrawn."""
    command = (
        f"systemctl is-active -q {REFUSING} || systemd-run --quiet --unit={REFUSING} "
        f"/usr/bin/python3 /usr/lib/lab/license_server.py "
        f"--host 0.0.0.0 --port {PORT} --key-file /dev/null --cert /etc/lab/tls.crt --key /etc/lab/tls.key"
    )
    docker("exec", target.home.services, "sh", "-c", command)
    return target.sh(NOW + added("nat", REFUSE) + RESTART + AGAIN + COMPLAINS)


@inject("mtu-black-hole")
def black_hole(target: Target) -> str:
    """The way out takes packets of 1400 bytes, the containers' bridge 1500, and nobody says so to who sends larger ones."""
    return target.sh(f"{NOW}ip link set eth0 mtu {SMALLER}\n" + added("filter", LOSE) + COMPLAINS)


@heal("licence-unreachable")
@heal("licence-refused")
@heal("mtu-black-hole")
def reached(target: Target) -> str:
    rules = removed("filter", REJECT) + removed("nat", REFUSE) + removed("filter", LOSE)
    target.sh(f"{rules}ip link set eth0 mtu 1500; docker restart -t 1 deepgram-api >/dev/null")
    recreate_engine(target)  # so that its log holds nothing of this fault
    target.await_engine()
    return target.sh("docker logs --tail 1 deepgram-engine 2>&1")
