"""APIs and Engines on servers of their own, in two regions, and a node with Flux, behind one proxy.

Who asks whom, which path is whose, and an outage healed in one run.
"""

from collections.abc import Iterator

import pytest
import yaml

from tests.scenarios.support.calls import transcribe
from tests.scenarios.support.servers import PROJECT, Deployment, Server, lab_down, lab_up

NAME = "apart"
STATUS = "curl -s http://127.0.0.1:8080/v1/status"
ASK = "curl -s -o /dev/null --data-binary @/etc/hostname http://127.0.0.1:8080/v1/listen"
REGIONS = {"near": ("api1", "engine1", "proxy1", "gpu1"), "far": ("api2", "engine2")}
FLUX = {
    "deepgram_profile": "flux",
    "deepgram_models_links": ["https://models.lab.test/flux-general-en.en.streaming.6e5fc14.dg"],
}
FILES, TURNS = dict.fromkeys(("transcription.file", "transcription.stream"), "pass"), {"transcription.flux": "pass"}


@pytest.fixture(scope="module")
def lab() -> Iterator[tuple[Deployment, dict[str, Server]]]:
    """The servers by their names in the lab."""
    lab_down(NAME)
    counts = ("--apis=2", "--engines=2", "--proxies=1", "--nodes=1")
    deployment, servers = lab_up(NAME, PROJECT / f".cache/scenarios/{NAME}", *counts, "--gpu=l4", "--with-docker")
    for region, names in REGIONS.items():
        for name in names:
            own = deployment.folder / f"host_vars/{NAME}-{name}/own.yml"
            own.parent.mkdir(parents=True, exist_ok=True)
            own.write_text(yaml.safe_dump({"deepgram_region": region} | (FLUX if name == "gpu1" else {})))
    yield deployment, {server.name.removeprefix(f"{NAME}-"): server for server in servers}
    lab_down(NAME)


def served(servers: dict[str, Server]) -> list[float]:
    """Files that each Engine has transcribed, by its own metrics."""
    count = "curl -s http://127.0.0.1:9991/metrics | grep -E '^engine_requests_total.*batch.*2xx' || true"
    found = [servers[name].sh(count).split() for name in ("engine1", "engine2")]
    return [float(words[-1]) if words else 0.0 for words in found]


def test_provisioned_and_in_sync_at_the_second_look(lab):
    deployment, servers = lab
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    for number in ("1", "2"):
        assert servers[f"engine{number}"].sh("docker ps --format '{{.Names}}'").split() == ["deepgram-engine"]
        assert servers[f"api{number}"].sh("docker ps --format '{{.Names}}'").split() == ["deepgram-api"]
        assert not servers[f"api{number}"].has("/usr/bin/nvidia-smi")
    made = {(check["host"], check["check"]): check for check in run.document["checks"]}
    for region, (api, engine, *_) in REGIONS.items():
        own, through = made[f"{NAME}-{engine}", "transcription.engine"], made[f"{NAME}-{api}", "transcription.engines"]
        assert (own["verdict"], through["verdict"]) == ("pass", "pass"), (region, own, through)
        assert f"through {NAME}-{api}" in own["seen"] and f"{NAME}-{engine} (" in through["seen"]
    assert transcriptions(run.document, "gpu1") == TURNS
    assert transcriptions(run.document, "proxy1") == FILES | TURNS
    assert deployment.dgctl("plan").exit_code == 0


def transcriptions(document, name: str) -> dict[str, str]:
    """Verdicts of a server's checks that transcribe something there."""
    found = [check for check in document["checks"] if check["host"] == f"{NAME}-{name}"]
    return {check["check"]: check["verdict"] for check in found if check["check"].startswith("transcription.")}


def test_requests_stay_in_the_proxy_s_region_and_go_elsewhere_when_it_has_nobody(lab, tmp_path):
    _, servers = lab
    near, far = served(servers)
    for _ in range(4):
        assert transcribe(servers["proxy1"], tmp_path).status_code == 200
    assert served(servers) == [near + 4, far]
    servers["api1"].sh("docker stop deepgram-api")
    try:
        for _ in range(2):
            assert transcribe(servers["proxy1"], tmp_path).status_code == 200
        assert served(servers) == [near + 4, far + 2]
    finally:
        servers["api1"].sh("docker start deepgram-api")


def test_one_run_heals_the_engine_and_the_api_that_blames_itself(lab):
    """Its requests failed while there was no Engine, and no proxy sends it others now: it would say so for ever."""
    deployment, servers = lab
    servers["api1"].sh(f"until {STATUS} | grep -qE 'Ready|Healthy'; do sleep 1; done")  # it was started just now
    servers["engine1"].sh("docker stop deepgram-engine")
    servers["api1"].sh(f"for i in 1 2 3 4 5; do {ASK} & done; wait")
    assert '"Critical"' in servers["api1"].sh(STATUS)
    planned = deployment.dgctl("plan").document["hosts"]
    restarts = {
        name.removeprefix(f"{NAME}-"): host.get("plan", {}).get("restarts", []) for name, host in planned.items()
    }
    assert (restarts["engine1"], restarts["api1"]) == (["deepgram-engine"], ["deepgram-api"])
    assert not restarts["engine2"] and not restarts["api2"]
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    proofs = {
        check["host"]: check["verdict"] for check in run.document["checks"] if "transcription.engine" in check["check"]
    }
    assert proofs[f"{NAME}-engine1"] == proofs[f"{NAME}-api1"] == "pass"
    status = servers["api1"].sh(STATUS)
    assert '"Ready"' in status or '"Healthy"' in status  # by the number of test requests since
    assert deployment.dgctl("plan").exit_code == 0


def test_a_dead_flux_node_is_missed_on_its_own_path_alone(lab):
    deployment, servers = lab
    servers["gpu1"].sh("docker stop deepgram-engine deepgram-api")
    run = deployment.dgctl("verify")
    assert run.exit_code == 8
    failed = {check for check, verdict in transcriptions(run.document, "proxy1").items() if verdict == "fail"}
    assert failed == {"transcription.flux"}
