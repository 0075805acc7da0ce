"""API and Engine on servers of their own: provisioned together, and healed together after an outage of the Engine."""

from collections.abc import Iterator

import pytest

from tests.scenarios.servers import PROJECT, Deployment, Server, lab_down, lab_up

NAME = "apart"
STATUS = "curl -s http://127.0.0.1:8080/v1/status"


@pytest.fixture(scope="module")
def lab() -> Iterator[tuple[Deployment, dict[str, Server]]]:
    lab_down(NAME)
    deployment, servers = lab_up(NAME, PROJECT / f".cache/scenarios/{NAME}", "--apis=1", "--engines=1")
    yield deployment, {server.name.removeprefix(f"{NAME}-"): server for server in servers}
    lab_down(NAME)


def test_provisioned_and_right_at_the_second_look(lab):
    deployment, servers = lab
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert servers["engine1"].sh("docker ps --format '{{.Names}}'").split() == ["deepgram-engine"]
    assert servers["api1"].sh("docker ps --format '{{.Names}}'").split() == ["deepgram-api"]
    assert not servers["api1"].has("/usr/bin/nvidia-smi")
    assert deployment.dgctl("plan").exit_code == 0


def test_one_run_heals_the_engine_and_the_api_that_blames_itself(lab):
    """Its requests failed while there was no Engine, and no proxy sends it others now: it would say so for ever."""
    deployment, servers = lab
    servers["engine1"].sh("docker stop deepgram-engine")
    ask = "curl -s -o /dev/null --data-binary @/etc/hostname http://127.0.0.1:8080/v1/listen"
    servers["api1"].sh(f"for i in 1 2 3 4 5; do {ask} & done; wait")
    assert '"Critical"' in servers["api1"].sh(STATUS)
    planned = deployment.dgctl("plan").document["hosts"]
    restarts = {name.removeprefix(f"{NAME}-"): host["plan"]["restarts"] for name, host in planned.items()}
    assert restarts == {"engine1": ["deepgram-engine"], "api1": ["deepgram-api"]}
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert '"Ready"' in servers["api1"].sh(STATUS)
    assert deployment.dgctl("plan").exit_code == 0
