"""The firewall's table in a kernel: a server with a container, and a neighbour, each in a network of its own."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from tests.roles_app.conftest import ROOT

NFT, IP = (shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") for name in ("nft", "ip"))
USABLE = NFT and IP and os.geteuid() == 0 and not subprocess.run(["unshare", "-n", "true"]).returncode
pytestmark = pytest.mark.skipif(not USABLE, reason="needs root, nft and ip")

SPEC = importlib.util.spec_from_file_location("host_firewall", ROOT / "roles/host_firewall/files/host_firewall.py")
HOST, NEIGHBOUR, FRIEND, CONTAINER = "192.0.2.1", "192.0.2.7", "192.0.2.8", "172.30.0.2"
# As Docker translates a published port 8090 (docs.docker.com: packet filtering), in nft's words.
PUBLISHED = f"""
table ip nat {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    fib daddr type local tcp dport 8090 dnat to {CONTAINER}:8080
  }}
}}
"""
SERVER = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8080)"


class World:
    """Three networks: `host` routes between `lan` and the bridge of `box`, which serves port 8080."""

    def __init__(self, folder):
        self.names = {name: f"dg{os.getpid()}{name}" for name in ("host", "lan", "box")}
        self.folder, self.children = folder, []
        for name in self.names.values():
            subprocess.run([IP, "netns", "add", name], check=True)
        try:
            self.build()
        except BaseException:
            self.close()
            raise

    def build(self):
        for line in [
            "host link add lan0 type veth peer name eth0 netns {lan}",
            "host link add box0 type veth peer name eth0 netns {box}",
            "host link add br-0123456789ab type bridge",
            "host link set box0 master br-0123456789ab",
            f"host addr add {HOST}/24 dev lan0",
            "host addr add 172.30.0.1/24 dev br-0123456789ab",
            f"lan addr add {NEIGHBOUR}/24 dev eth0",
            f"lan addr add {FRIEND}/24 dev eth0",
            f"box addr add {CONTAINER}/24 dev eth0",
            *(f"host link set {device} up" for device in ("lo", "lan0", "box0", "br-0123456789ab")),
            "lan link set eth0 up",
            "box link set eth0 up",
            f"lan route add 172.30.0.0/24 via {HOST}",
            "box route add default via 172.30.0.1",
        ]:
            where, _, words = line.format(**self.names).partition(" ")
            self.run(where, IP, *words.split())
        self.run("host", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.run("host", NFT, "-f", "-", text=PUBLISHED)
        for where in ("box", "lan"):
            self.start(where, sys.executable, "-c", SERVER)

    def words(self, where, *words):
        return [IP, "netns", "exec", self.names[where], *words]

    def run(self, where, *words, text=None):
        done = subprocess.run(self.words(where, *words), input=text, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def start(self, where, *words):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self.folder}
        self.children.append(subprocess.Popen(self.words(where, *words), **quiet))

    def reaches(self, address, port, source=NEIGHBOUR, where="lan"):
        """Whether a connection comes about."""
        code = f"import socket; socket.create_connection(({address!r}, {port}), 1, ({source!r}, 0)).close()"
        return subprocess.run(self.words(where, sys.executable, "-c", code), capture_output=True).returncode == 0

    def close(self):
        for child in self.children:
            child.terminate()
            child.wait()
        for name in self.names.values():
            subprocess.run([IP, "netns", "del", name], check=False)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    for _ in range(100):
        if made.reaches(CONTAINER, 8080, "172.30.0.1", "host"):
            break
        time.sleep(0.05)
    yield made
    made.close()


@pytest.fixture
def program(world, tmp_path, monkeypatch):
    """The program in the host's network, with the API's published port open to one friend."""
    found = importlib.util.module_from_spec(SPEC)
    SPEC.loader.exec_module(found)
    for name, path in (("RULES", "rules.json"), ("KEPT", "kept/a.json"), ("LAST", "kept/t.nft"), ("IN_FORCE", "in")):
        monkeypatch.setattr(found, name, str(tmp_path / path))
    monkeypatch.setattr(found, "nft", lambda *words, text=None: subprocess.run(
        world.words("host", NFT, *words), input=text, capture_output=True, text=True))  # fmt: skip
    rules = [{"name": "API", "port": 8090, "sources": [FRIEND]}]
    (tmp_path / "rules.json").write_text(json.dumps({"rules": rules, "container_ports": [8080, 8443, 9991]}))
    return found


def test_a_neighbour_reaches_neither_the_port_nor_the_container_itself(world, program):
    assert world.reaches(HOST, 8090) and world.reaches(CONTAINER, 8080), "before: the hole that is closed"
    program.apply()
    assert not world.reaches(HOST, 8090), "the published port is for the friend alone"
    assert not world.reaches(CONTAINER, 8080), "and the container's own address for nobody"
    assert not world.reaches(CONTAINER, 8080, FRIEND)
    assert world.reaches(HOST, 8090, FRIEND), "the friend is served through the published port"
    assert world.reaches(CONTAINER, 8080, "172.30.0.1", "host"), "and the server itself reaches it"
    with pytest.raises(SystemExit) as ended:
        program.check()
    assert ended.value.code == 0


def test_containers_are_closed_where_no_port_has_a_rule(world, program, tmp_path):
    (tmp_path / "rules.json").write_text(json.dumps({"rules": [], "container_ports": [8080]}))
    program.apply()
    assert world.reaches(HOST, 8090) and not world.reaches(CONTAINER, 8080)


def test_what_a_caller_names_leads_a_container_to_nothing_that_is_blocked(world, program, tmp_path):
    """`url` and `callback` have the API ask any address: 169.254.169.254 gives a cloud's credentials away."""
    reached = {"port": 8080, "source": CONTAINER, "where": "box"}
    assert world.reaches(NEIGHBOUR, **reached) and world.reaches(FRIEND, **reached)
    reported = {
        "rules": [],
        "container_ports": [8080],
        "container_blocked": ["192.0.2.0/24"],
        "container_reach": [FRIEND],
    }
    (tmp_path / "rules.json").write_text(json.dumps(reported))
    program.apply()
    assert not world.reaches(NEIGHBOUR, **reached) and world.reaches(FRIEND, **reached)
    assert world.reaches(HOST, 8090), "callers still reach the container, and get its answers"


def test_a_flush_is_seen_and_mended(world, program):
    program.apply()
    world.run("host", NFT, "flush", "ruleset")
    with pytest.raises(SystemExit) as ended:
        program.check()
    assert ended.value.code == 1
    program.apply()
    assert not world.reaches(CONTAINER, 8080)
