"""Nodes that leave the fleet under calls: one that is drained first, and one that does not answer any more."""

import time

from tests.scenarios.support.fleet import cut_off, settled
from tests.scenarios.support.stories import with_all

pytestmark = with_all


def lines_without(fleet, node) -> list[str]:
    return [
        line for line in fleet.deployment.inventory.read_text().splitlines() if not line.startswith(f"{node.name} ")
    ]


def known_to_proxies(fleet, node) -> bool:
    return any(node.address in proxy.sh("cat /etc/nginx/deepgram/*") for proxy in fleet.servers("proxy"))


def test_a_node_is_removed(fleet):
    node = fleet.nodes[2]
    expected = lines_without(fleet, node)
    with fleet.calls_that_lose_nothing():
        fleet.carried_out("remove", node.name, "--yes", ctrl_c="Take out of the proxies", kill="Finish requests")
    assert fleet.deployment.inventory.read_text().splitlines() == expected
    assert not node.sh("docker ps --quiet")
    assert not known_to_proxies(fleet, node)
    settled(fleet)


def test_a_dead_node_is_removed_though_it_does_not_answer(fleet):
    node = fleet.nodes[1]
    expected = lines_without(fleet, node)
    assert known_to_proxies(fleet, node)
    with fleet.calls() as running:
        cut_off(node)
        alive = fleet.deployment.dgctl("remove", node.name, "--yes")
        assert alive.exit_code == 7 and "--dead" in alive.problems(), alive.problems()
        run = fleet.deployment.dgctl("remove", node.name, "--dead", "--yes")
        assert run.exit_code == 0, run.problems() + run.stderr
    assert running.total("files", "failed") == 0, running.lost()
    assert fleet.deployment.inventory.read_text().splitlines() == expected
    assert not known_to_proxies(fleet, node)
    settled(fleet)


def test_the_load_sees_what_is_lost(fleet):
    """The tests of the fleet mean something only if a lost call is seen: here all nodes stop at once."""
    with fleet.calls() as running:
        for node in fleet.nodes:
            node.sh("docker kill deepgram-api")
        time.sleep(5)
    assert running.total("files", "failed") and running.total("streams", "broken")
    assert running.lost()
