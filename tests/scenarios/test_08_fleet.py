"""Nodes behind two proxies, changed under calls: no file and no stream is lost, and every operation may be cut off."""

import subprocess
import time

import pytest

from tests.scenarios.support.fleet import (
    AFTER,
    BEFORE,
    SETTINGS,
    active_streams,
    at_proxies,
    cut_off,
    powered_on,
    releases,
    settled,
    shares,
)
from tests.scenarios.support.keepalive import callers
from tests.scenarios.support.servers import LAB
from tests.scenarios.support.stories import EVERYTHING, with_all


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
    proxy, _ = fleet.servers("proxy")
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
        # Killed when one node has been changed and serves again, and the next one's containers are being recreated.
        fleet.carried_out("provision", "--yes", ctrl_c="Finish requests", kill="Deepgram", nth=2)
    for node in fleet.nodes:
        assert "engine_max_active_requests 39" in node.sh("curl -s http://127.0.0.1:9991/metrics")
    settled(fleet)


def test_an_upgrade(fleet):
    with fleet.calls_that_lose_nothing():
        fleet.carried_out("upgrade", f"--release={AFTER}", "--yes", ctrl_c="Finish requests", kill="Deepgram")
    assert releases(fleet) == {AFTER}
    assert f"deepgram_release={AFTER}\n" in fleet.deployment.inventory.read_text()
    settled(fleet)


@with_all
def test_a_hung_engine_takes_its_node_out_and_is_back_by_itself(fleet):
    node = fleet.nodes[0]
    with fleet.calls() as running:
        (on_it,) = shares([node])
        node.fault("engine-hangs")
        out_s = at_proxies(fleet, node, "down", 30)
        back_s = out_s + at_proxies(fleet, node, "up", 90)
        assert all(shares([node], 90)), "it serves no stream again"
    assert out_s <= 15 and back_s <= 60, (out_s, back_s, node.sh("journalctl -o short-iso -u deepgram-watch -n 20"))
    assert running.total("files", "failed") == 0, running.lost()
    assert running.total("streams", "broken") <= on_it, running.lost()
    settled(fleet)


@pytest.mark.parametrize("how", ["cut", "killed"] if EVERYTHING else ["cut"])
def test_a_node_that_dies_takes_only_its_own_streams_with_it(fleet, how):
    """A power cut, of which nobody is told, and a kill, after which the kernel resets its connections."""
    node = fleet.nodes[0]
    with fleet.calls() as running:
        (on_it,) = shares([node])
        if how == "cut":
            cut_off(node)
        else:
            subprocess.run([LAB, "kill", node.name], check=True)
            time.sleep(15)
        powered_on(node)
        assert all(shares([node], 90)), "it serves no stream again"
    assert running.total("files", "failed") == 0, running.lost()
    assert running.total("streams", "broken") <= on_it, running.lost()
    settled(fleet)


@with_all
def test_a_rollback(fleet):
    with fleet.calls_that_lose_nothing():
        fleet.carried_out("rollback", "--yes", ctrl_c="Finish requests", kill="Rollback")
    assert releases(fleet) == {BEFORE}
