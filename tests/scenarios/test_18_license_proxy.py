"""Two License Proxies before a node: never both down, and the node serves on while one of them is."""

import json
import threading
from collections.abc import Iterator

import pytest

from tests.scenarios.support.calls import transcribe
from tests.scenarios.support.fleet import AFTER, BEFORE, set_release
from tests.scenarios.support.servers import PROJECT, Deployment, Server, lab_down, lab_up

NAME = "license"
STATE = "curl -sf --max-time 3 http://127.0.0.1:8089/v1/status"


@pytest.fixture(scope="module")
def lab() -> Iterator[tuple[Deployment, Server, list[Server]]]:
    lab_down(NAME)
    deployment, servers = lab_up(
        NAME, PROJECT / f".cache/scenarios/{NAME}", "--nodes=1", "--license-proxies=2", "--with-docker"
    )
    set_release(deployment, BEFORE)
    yield deployment, servers[0], servers[1:]
    lab_down(NAME)


def state(proxy: Server) -> str:
    """What it says of its own connection; empty when it does not answer."""
    reported = proxy.sh(f"{STATE} || true")
    return json.loads(reported)["state"] if reported else ""


def provisioned(deployment: Deployment) -> None:
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr


def test_provisioned_and_in_sync_at_the_second_look(lab):
    deployment, node, proxies = lab
    provisioned(deployment)
    assert {state(proxy) for proxy in proxies} <= {"Ready", "Connected"}  # Connected once somebody has asked it
    for part in ("api/api.toml", "engine/engine.toml"):
        text = node.sh(f"cat /etc/deepgram/{part}")
        assert all(f"https://{proxy.address}:8443" in text for proxy in proxies), text
    assert deployment.dgctl("plan").exit_code == 0


def test_one_that_is_stopped_is_named_and_started_again_while_the_node_serves(lab, tmp_path):
    deployment, node, proxies = lab
    proxies[0].sh("docker stop deepgram-license-proxy")
    assert transcribe(node, tmp_path).status_code == 200
    run = deployment.dgctl("verify")
    assert run.exit_code == 8
    failed = {check["host"] for check in run.document["checks"] if check["verdict"] == "fail"}
    assert proxies[0].name in failed and proxies[1].name not in failed, run.problems()
    planned = deployment.dgctl("plan").document["hosts"]
    assert [name for name, host in planned.items() if host.get("plan", {}).get("steps")] == [proxies[0].name]
    provisioned(deployment)
    assert state(proxies[0]) in ("Ready", "Connected")


def test_an_upgrade_and_a_rollback_leave_one_of_them_at_any_moment(lab):
    deployment, node, proxies = lab
    for verb, options, release in (("upgrade", [f"--release={AFTER}"], AFTER), ("rollback", [], BEFORE)):
        over, both_down = threading.Event(), []

        def watch(over=over, both_down=both_down):
            while not over.wait(0.2):
                if not any(state(proxy) for proxy in proxies):
                    both_down.append(True)

        watching = threading.Thread(target=watch)
        watching.start()
        run = deployment.dgctl(verb, *options, "--yes")
        over.set()
        watching.join()
        assert run.exit_code == 0, run.problems() + run.stderr
        assert not both_down
        label = "docker inspect -f '{{index .Config.Labels \"org.opencontainers.image.version\"}}' "
        if verb == "rollback":  # the nodes go back; a License Proxy serves older ones too, until the next provision
            provisioned(deployment)
        assert {proxy.sh(f"{label} deepgram-license-proxy").strip() for proxy in proxies} == {release}
        assert node.sh(f"{label} deepgram-engine").strip() == release
