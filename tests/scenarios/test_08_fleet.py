"""Two nodes behind a proxy, changed under calls: no file and no stream is lost, and every operation may be cut off."""

import subprocess
import time

import pytest

from bench.load import beside
from tests.scenarios.fleet import AFTER, BEFORE, NAME, Fleet, active_streams, releases, set_release
from tests.scenarios.kept import callers
from tests.scenarios.servers import LAB, PROJECT, lab_down, lab_up

DEAD_S = 45  # by then the callers' own pings have told them that their streams are gone


# One node alone has room for all calls; the load's clients are never idle for as long as callers' may be.
SETTINGS = {"deepgram_engine_max_active_requests": 40, "nginx_proxy_closing_s": 1.5}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Fleet:
    lab_down(NAME)
    deployment, _ = lab_up(NAME, PROJECT / ".cache/scenarios/fleet", "--nodes=2", "--proxies=1")
    set_release(deployment, BEFORE)
    made = Fleet(deployment, tmp_path_factory.mktemp("load"))
    made.change(**SETTINGS)
    yield made
    lab_down(NAME)


def settled(fleet):
    """Nothing is left to do, and every node gets its share of the calls."""
    assert fleet.deployment.dgctl("plan").exit_code == 0
    with fleet.calls():
        assert all(shares(fleet.nodes)), "a node gets no stream"


def shares(nodes, seconds=30) -> list[int]:
    """Streams on each node; waits until each has some, for the proxy finds out by itself who serves."""
    until = time.monotonic() + seconds
    while not all(found := [active_streams(node) for node in nodes]) and time.monotonic() < until:
        time.sleep(0.5)
    return found


def test_provision(fleet):
    run = fleet.deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert {check["verdict"] for check in run.document["checks"]} <= {"pass", "skip"}
    assert releases(fleet) == {BEFORE}
    settled(fleet)


def test_second_run_changes_nothing(fleet):
    run = fleet.deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems()
    assert {(host["state"], host["changed"]) for host in run.document["hosts"].values()} == {("ok", 0)}


def test_a_drained_node_gets_nothing_and_its_calls_end_well(fleet):
    node = fleet.nodes[0]
    with fleet.calls_that_lose_nothing():
        assert shares([node])[0]
        run = fleet.deployment.dgctl("drain", node.name)
        assert run.exit_code == 0, run.problems() + run.stderr
        assert run.document["hosts"][node.name]["state"] == "drained"
        assert [active_streams(node), time.sleep(5), active_streams(node)] == [0, None, 0]
        run = fleet.deployment.dgctl("undrain", node.name)
        assert run.exit_code == 0, run.problems() + run.stderr
        assert shares([node])[0]


def test_a_reload_breaks_no_request_on_a_kept_connection(fleet):
    (proxy,) = fleet.servers("proxy")
    with callers(proxy, 8) as busy:
        time.sleep(3)
        assert busy.connections == 8 and busy.answered > 16, "their connections are kept"
        for _ in range(4):
            proxy.sh("/usr/local/lib/deepgram/deepgram-upstreams reload")
            time.sleep(0.5)
        assert busy.connections > 16 and busy.broken == []
        time.sleep(2)
        opened = busy.connections
        time.sleep(2)
        assert busy.connections == opened, "they are kept again"


def test_a_node_is_added(fleet):
    before = {node.name: started(node) for node in fleet.nodes}
    fleet.grow(3)
    with fleet.calls_that_lose_nothing():
        run = fleet.carried_out("provision", "--yes", ctrl_c="Models", kill="Deepgram")
    # The killed run may have come to its last change: then there is nothing left but to look, and to let it serve.
    assert run.document["hosts"][fleet.nodes[2].name]["state"] in ("changed", "ok")
    assert {node.name: started(node) for node in fleet.nodes[:2]} == before, "serving nodes were restarted"
    settled(fleet)


def started(node) -> str:
    return node.sh("docker inspect --format '{{.Name}} {{.State.StartedAt}}' deepgram-api deepgram-engine")


def test_a_setting_is_changed_on_all_nodes(fleet):
    fleet.change(**SETTINGS | {"deepgram_engine_max_active_requests": 39})
    with fleet.calls_that_lose_nothing():
        fleet.carried_out("provision", "--yes", ctrl_c="Finish requests", kill="Deepgram")
    for node in fleet.nodes:
        assert "engine_max_active_requests 39" in node.sh("curl -s http://127.0.0.1:9991/metrics")
    settled(fleet)


def test_an_upgrade(fleet):
    with fleet.calls_that_lose_nothing():
        fleet.carried_out("upgrade", f"--release={AFTER}", "--yes", ctrl_c="Finish requests", kill="Deepgram")
    assert releases(fleet) == {AFTER}
    assert f"deepgram_release={AFTER}\n" in fleet.deployment.inventory.read_text()
    settled(fleet)


def test_a_node_without_power_takes_only_its_own_streams_with_it(fleet):
    """One that is killed, so that its connections are reset: the Molecule scenario."""
    node = fleet.nodes[0]
    with fleet.calls() as running:
        on_it = shares([node])[0]
        subprocess.run([LAB, "kill", "--cut", node.name], check=True)
        time.sleep(DEAD_S)
        subprocess.run([LAB, "start", node.name], check=True)
        assert shares([node], 90)[0], "it serves no stream again"
    document = running.seen()
    assert document["files"]["failed"] == 0, beside.lost(document)
    assert document["streams"]["broken"] <= on_it, beside.lost(document)
    settled(fleet)


def test_a_rollback(fleet):
    with fleet.calls_that_lose_nothing():
        fleet.carried_out("rollback", "--yes", ctrl_c="Finish requests", kill="Rollback")
    assert releases(fleet) == {BEFORE}


def test_a_node_is_removed(fleet):
    inventory, node = fleet.deployment.inventory, fleet.nodes[2]
    kept = [line for line in inventory.read_text().splitlines() if not line.startswith(f"{node.name} ")]
    with fleet.calls_that_lose_nothing():
        fleet.carried_out("remove", node.name, "--yes", ctrl_c="Take out of the proxies", kill="Finish requests")
    assert inventory.read_text().splitlines() == kept
    assert not node.sh("docker ps --quiet")
    assert node.address not in fleet.servers("proxy")[0].sh("cat /etc/nginx/deepgram/*")
    settled(fleet)


def test_the_load_sees_what_is_lost(fleet):
    """The tests above mean something only if a lost call is seen: here all nodes stop at once."""
    with fleet.calls() as running:
        for node in fleet.nodes:
            node.sh("docker kill deepgram-api")
        time.sleep(5)
    assert running.seen()["files"]["failed"] and running.seen()["streams"]["broken"]
    assert beside.lost(running.seen())
