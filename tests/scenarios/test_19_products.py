"""Every product on one server, an Engine each, behind one name: files, streams, turns, speech of two kinds, a voice agent."""

from collections.abc import Iterator

import pytest
import yaml

from tests.scenarios.support.products import CALLS, ENGINES, SECRET, answered, calling, client_of, settings
from tests.scenarios.support.servers import PROJECT, Deployment, Server, lab_down, lab_up

NAME = "products"
COMPONENTS = [
    *(f"engine-{engine['name']}" for engine in ENGINES),
    "api-stt",
    "api-flux",
    "api-aura-en",
    "api-flux-tts",
    "api-agent",
]


@pytest.fixture(scope="module")
def lab() -> Iterator[tuple[Deployment, Server]]:
    lab_down(NAME)
    deployment, (server,) = lab_up(
        NAME, PROJECT / f".cache/scenarios/{NAME}", "--nodes=1", "--gpu=l4:10", "--with-docker"
    )
    main = yaml.safe_load((deployment.folder / "group_vars/all/main.yml").read_text())
    own = deployment.folder / f"host_vars/{server.name}/products.yml"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.touch(mode=0o600)
    own.write_text(yaml.safe_dump(settings(main["deepgram_models_links"])))
    yield deployment, server
    lab_down(NAME)


def test_one_provision_runs_them_all(lab):
    deployment, server = lab
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    running = server.sh("docker ps --format '{{.Names}}'").split()
    assert sorted(running) == sorted(f"deepgram-{component}" for component in COMPONENTS)
    checks = {check["check"]: check["verdict"] for check in run.document["checks"]}
    assert checks["transcription.file"] == checks["transcription.engines"] == "pass"
    assert checks["transcription.flux (engine-turns)"] == checks["transcription.speech (engine-voice)"] == "pass"
    assert checks["transcription.speech (engine-fluent)"] == checks["transcription.agent (engine-ears)"] == "pass"


def test_each_engine_has_its_own_gpus_and_models_alone(lab):
    _, server = lab
    for engine in ENGINES:
        seen = server.sh(f"docker exec deepgram-engine-{engine['name']} nvidia-smi -L").splitlines()
        assert len(seen) == len(engine["gpus"])
    files = {
        engine["name"]: server.sh(f"docker exec deepgram-engine-{engine['name']} ls /models").split()
        for engine in ENGINES
    }
    assert files["turns"] == ["flux-general-en.en.streaming.6e5fc14.dg"]
    assert len(files["voice"]) == 2 and all(name.startswith("aura-2.") for name in files["voice"])
    assert not [name for name in files["a"] if name.startswith(("flux", "aura", "end-of-turn"))]


def test_each_api_answers_over_tls_alone(lab):
    """NGINX asks them by name and authority: the real client's calls below go that way."""
    _, server = lab
    for port in range(8080, 8085):
        assert "system_health" in server.sh(
            "curl -sS --cacert /etc/deepgram/tls/authority.crt --connect-to "
            f"deepgram-api:{port}:127.0.0.1:{port} https://deepgram-api:{port}/v1/status"
        )
        assert "system_health" not in server.sh(f"curl -s http://127.0.0.1:{port}/v1/status", check=False)
    assert server.sh("stat -c '%a %U' /etc/deepgram/tls/api.key").strip() == "600 root"


def test_the_second_run_changes_nothing_and_no_secret_is_anywhere(lab):
    deployment, server = lab
    again = deployment.dgctl("provision", "--yes")
    assert again.exit_code == 0 and {host["changed"] for host in again.document["hosts"].values()} == {0}
    assert server.sh("stat -c '%a %U' /etc/deepgram/secret-OPENAI_API_KEY.env").strip() == "600 root"
    assert SECRET not in server.sh(
        "cat /etc/deepgram/compose.yaml; journalctl --no-pager; cat /proc/[0-9]*/cmdline", check=False
    )
    for record in (deployment.folder / ".dgctl").rglob("*"):
        assert not record.is_file() or SECRET not in record.read_text(errors="replace"), record


@pytest.fixture
def client(lab, tmp_path, monkeypatch):
    return client_of(lab[1], tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", CALLS)
def test_the_real_client_uses_every_path(client, kind):
    assert answered(client, kind)


def test_one_engine_is_changed_and_its_neighbours_serve_on(lab, client):
    """The API of two Engines stays, and answers with the other one; the Engines and APIs of other products are not touched."""
    deployment, server = lab
    before = started(server)
    own = next((deployment.folder / f"host_vars/{server.name}").glob("*.yml"))
    document = yaml.safe_load(own.read_text())
    document["deepgram_engines"][1]["max_active_requests"] = 15
    own.write_text(yaml.safe_dump(document))
    with calling(client, *CALLS) as calls:
        run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    after = started(server)
    assert {name for name in before if before[name] != after[name]} == {"deepgram-engine-b"}
    assert calls.wrong == [] and set(calls.right) == set(CALLS), calls.right


def started(server: Server) -> dict[str, str]:
    lines = server.sh(
        "docker ps -q | xargs docker inspect --format '{{.Name}} {{.Created}} {{.State.StartedAt}}'"
    ).splitlines()
    return {line.split()[0].lstrip("/"): line for line in lines}


def test_an_engine_that_lost_its_gpu_is_named_and_healed_alone(lab):
    deployment, server = lab
    server.sh("docker kill deepgram-engine-turns")
    run = deployment.dgctl("plan")
    assert run.exit_code == 10 and "deepgram-engine-turns" in str(run.document)
    healed = deployment.dgctl("provision", "--yes")
    assert healed.exit_code == 0, healed.problems() + healed.stderr


def test_status_shows_each(lab):
    deployment, server = lab
    status = deployment.dgctl("status").document["hosts"][server.name]["status"]
    assert set(status["apis"]) == {"api-stt", "api-flux", "api-aura-en", "api-flux-tts", "api-agent"}
    assert all(reported["system_health"] in ("Ready", "Healthy") for reported in status["apis"].values())
    assert status["loads"]["engine-a"]["max_active_requests"] == 20 and len(status["loads"]) == len(ENGINES)


def test_an_engine_that_leaves_the_list_is_stopped_and_leaves_nothing(lab):
    deployment, server = lab
    own = next((deployment.folder / f"host_vars/{server.name}").glob("*.yml"))
    document = yaml.safe_load(own.read_text())
    document["deepgram_engines"] = document["deepgram_engines"][:5]
    own.write_text(yaml.safe_dump(document))
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert "agent" not in server.sh("docker ps -a --format '{{.Names}}'; ls /etc/deepgram")
    assert "engine-ears" not in server.sh("ls /etc/deepgram")
