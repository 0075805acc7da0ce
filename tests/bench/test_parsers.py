"""What the benchmark reads: run records, recaps, dgctl's phases, pyinfra's proposals, inventories."""

import json
import re

import pytest

from bench import records
from bench.deployment import Deployment, Endpoint, endpoints, problems, setting, with_hosts
from bench.many import Range, known_hosts, spread
from bench.measure import BenchError
from bench.peers import managed
from bench.peers.fan import LOOK
from bench.peers.pyinfra_peer import proposed
from bench.tree import memory_of

INVENTORY = """\
# Written by `bin/lab up`.

[node]
bench-gpu1 ansible_host=10.213.87.13
bench-gpu2 ansible_host=10.213.87.14

[all:vars]
ansible_user=ops
ansible_ssh_private_key_file=/keys/id
ansible_ssh_common_args='-o UserKnownHostsFile=/lab/known_hosts -o StrictHostKeyChecking=yes'
"""
PYINFRA = """\
--> Detected changes:
    Operation                                    Change   Conditional Change   
    /etc/apt/apt.conf.d/52nvidia-driver          -        -                    
    packages, at their versions                  {}        -                    

    Detected changes may not include every change pyinfra will execute.
"""


def test_tasks_are_those_that_ran():
    events = [("runner_on_ok", "a"), ("runner_on_ok", "a"), ("runner_on_skipped", "a"), ("runner_on_ok", "b")]
    lines = [json.dumps({"event": event, "host": host}) for event, host in events]
    assert records.tasks([*lines, json.dumps({"event": "playbook_on_stats"})]) == {"a": 2, "b": 1}


def test_recap_of_ansible_playbook():
    text = "PLAY RECAP ****\ngpu1   : ok=12   changed=3    unreachable=0\ngpu2 : ok=7 changed=0 unreachable=0\n"
    assert records.recap(text) == {"gpu1": 12, "gpu2": 7}


def test_verify_is_cut_off_where_its_line_came():
    lines = [(1.5, "     1s  Preflight\n"), (2.0, "some warning\n"), (61.25, "  1m01s  Verify\n")]
    assert records.phases(lines) == [("Preflight", 1.5), ("Verify", 61.25)]
    assert records.verify_started(lines, 70) == 61.25
    assert records.verify_started(lines[:1], 70) == 70


@pytest.mark.parametrize(
    ("change", "found"),
    [("-", []), ("2", ["packages, at their versions"]), ("1 (gpu2)", ["packages, at their versions"])],
)
def test_pyinfra_proposals(change, found):
    assert proposed(PYINFRA.format(change)) == found


def test_pyinfra_that_said_nothing_is_no_agreement():
    assert proposed("--> Connecting to hosts...\n") is None


def test_hosts_and_settings_of_an_inventory():
    assert endpoints(INVENTORY)[1] == Endpoint("bench-gpu2", "10.213.87.14")
    assert setting(INVENTORY, "ansible_user") == "ops"
    with pytest.raises(BenchError, match="ansible_port"):
        setting(INVENTORY, "ansible_port")


def test_ssh_is_ansibles_without_kept_connections(tmp_path):
    (tmp_path / "inventory.ini").write_text(INVENTORY)
    words = Deployment(tmp_path).ssh()
    assert words[-4:] == ["-i", "/keys/id", "-l", "ops"]
    assert "UserKnownHostsFile=/lab/known_hosts" in words
    assert any(word.startswith("KexAlgorithms") for word in words)
    assert not any("Control" in word for word in words)


def test_only_the_first_hosts_are_left(tmp_path):
    deployment = Deployment(tmp_path)
    deployment.inventory.write_text(INVENTORY)
    deployment.first(1)
    assert [host.name for host in deployment.endpoints()] == ["bench-gpu1"]
    assert deployment.setting("ansible_user") == "ops"


def test_endpoints_are_distinct_and_spread_over_servers():
    servers = endpoints(INVENTORY)
    hosts = spread([Range(server, number) for number, server in enumerate(servers)], 2000)
    assert len({endpoint.address for endpoint, _ in hosts}) == len({endpoint.name for endpoint, _ in hosts}) == 2000
    assert hosts[0] == (Endpoint("endpoint0001", "198.18.0.1"), servers[0])
    assert hosts[1][0].address == "198.18.4.1"
    assert endpoints(with_hosts(INVENTORY, [endpoint for endpoint, _ in hosts])) == [endpoint for endpoint, _ in hosts]
    with pytest.raises(BenchError, match="more than 1 server"):
        spread([Range(servers[0], 0)], 2000)


def test_endpoints_have_their_servers_host_key():
    servers = endpoints(INVENTORY)
    lab = "bench-gpu1,10.213.87.13 ssh-ed25519 AAA1\nbench-gpu2,10.213.87.14 ssh-ed25519 AAA2\n"
    written = known_hosts(lab, [(Endpoint("endpoint0001", "198.18.4.1"), servers[1])])
    assert written == "endpoint0001,198.18.4.1 ssh-ed25519 AAA2\n"


def test_memory_that_is_shared_counts_once():
    assert memory_of("5581-7ff [rollup]\nRss:   9000 kB\nPss:   1200 kB\nPss_Dirty: 700 kB\n") == (
        1200 * 1024,
        9000 * 1024,
    )
    assert memory_of("") == (0, 0)


def test_the_script_by_hand_asks_about_what_pyinfra_is_asked_about():
    text = LOOK.read_text()
    asked = set(re.findall(r"(?<!\S)(?:etc|run)/[^\s\\]+", text))
    assert asked == {path.lstrip("/") for path in managed.FILES}
    for name in (*managed.PACKAGES, *managed.UNITS, *managed.CONTAINERS, managed.STATUS):
        assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), name


def test_problems_of_a_document():
    check = {"host": "gpu1", "check": "tls.name", "verdict": "fail", "seen": "x", "expected": "gpu1"}
    document = {
        "errors": [{"what": "first"}],
        "hosts": {"gpu1": {"errors": [{"what": "second"}]}},
        "checks": [check, {**check, "verdict": "pass"}],
    }
    assert problems(document) == "first; second; gpu1 tls.name: x; expected gpu1"
    assert problems({"errors": [], "hosts": {}}) == ""
