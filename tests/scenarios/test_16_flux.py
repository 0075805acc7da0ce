"""Two profiles behind one name: files and streams of /v1/listen from one node, Flux's turns of /v2/listen from the other."""

from collections.abc import Iterator

import pytest
import yaml

from tests.scenarios.support.servers import PROJECT, Deployment, Server, lab_down, lab_up

NAME = "profiles"
FLUX = {
    "deepgram_profile": "flux",
    "deepgram_models_links": ["https://models.lab.test/flux-general-en.en.streaming.6e5fc14.dg"],
}


@pytest.fixture(scope="module")
def lab() -> Iterator[tuple[Deployment, list[Server]]]:
    lab_down(NAME)
    deployment, servers = lab_up(NAME, PROJECT / f".cache/scenarios/{NAME}", "--nodes=2", "--proxies=1", "--gpu=l4")
    own = deployment.folder / f"host_vars/{servers[1].name}/flux.yml"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(yaml.safe_dump(FLUX))
    yield deployment, servers
    lab_down(NAME)


def verdicts(document, host) -> dict[str, str]:
    """Of the checks that transcribe something there."""
    found = [check for check in document["checks"] if check["host"] == host]
    return {check["check"]: check["verdict"] for check in found if check["check"].startswith("transcription.")}


def test_each_path_is_answered_by_its_own_node(lab):
    deployment, (stt, flux, proxy) = lab
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    v1, v2 = dict.fromkeys(("transcription.file", "transcription.stream"), "pass"), {"transcription.flux": "pass"}
    assert verdicts(run.document, stt.name) == v1
    assert verdicts(run.document, flux.name) == v2
    assert verdicts(run.document, proxy.name) == v1 | v2
    assert {host["state"] for host in deployment.dgctl("provision", "--yes").document["hosts"].values()} == {"ok"}


def test_a_dead_flux_node_is_missed_on_its_own_path_alone(lab):
    deployment, (_, flux, proxy) = lab
    flux.sh("docker stop deepgram-engine deepgram-api")
    run = deployment.dgctl("verify")
    assert run.exit_code == 8
    failed = {check for check, verdict in verdicts(run.document, proxy.name).items() if verdict == "fail"}
    assert failed == {"transcription.flux"}
