"""Every product on one server, an Engine each, behind one name: files, streams, turns, speech of two kinds, a voice agent."""

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml
from deepgram import DeepgramClient, DeepgramClientEnvironment
from deepgram.agent.v1.types import AgentV1Settings

from lab.deepgram.models import speaking_files
from tests.scenarios.support.servers import PROJECT, Deployment, Server, lab_down, lab_up
from tests.scenarios.test_03_real_client import RECORDING, WORDS, resolve_for_this_process

NAME = "products"
GPU = "nvidia.com/gpu={}".format
MODELS = "https://models.lab.test/"
FLUX_TTS = {"flux_tts_uuid": "9c3cc12c-c0a2-4966-8676-f9fa22ab5401", "flux_tts_max_batch_size": 16}
ENGINES: list[dict[str, Any]] = [
    {"name": "a", "gpus": [GPU(0)], "max_active_requests": 20},
    {"name": "b", "gpus": [GPU(1)], "max_active_requests": 20},
    {"name": "turns", "profile": "flux", "gpus": [GPU(2)], "flux_max_streams": 10},
    {"name": "voice", "profile": "aura", "gpus": [GPU(3), GPU(4)]},
    {"name": "fluent", "profile": "flux_tts", "gpus": [GPU(5)], **FLUX_TTS},
    {"name": "ears", "profile": "agent", "agent_kind": "stt", "gpus": [GPU(6)]},
    {"name": "mouth", "profile": "agent", "agent_kind": "tts", "gpus": [GPU(7), GPU(8)]},
    {"name": "pause", "profile": "agent", "agent_kind": "eot", "gpus": [GPU(9)]},
]
PROVIDERS = {
    "open_ai": {
        "name": "OpenAI",
        "models": {"gpt-4o-mini": {"name": "GPT-4o mini", "tier": "standard", "public": True}},
    }
}
SECRET = "sk-lab-secret-of-a-language-model"
COMPONENTS = [
    *(f"engine-{engine['name']}" for engine in ENGINES),
    "api-stt",
    "api-flux",
    "api-aura-en",
    "api-flux-tts",
    "api-agent",
]


def settings(links: list[str]) -> dict[str, Any]:
    speaking = [
        MODELS + speaking_files()[name]
        for name in ("aura-2.voice-pack.en", "aura-2.generator.en", "flux-tts.en", "end-of-turn.en")
    ]
    flux = MODELS + "flux-general-en.en.streaming.6e5fc14.dg"
    return {
        "deepgram_engines": ENGINES,
        "deepgram_models_links": [*links, flux, *speaking],
        "deepgram_agent_llm_providers": PROVIDERS,
        "deepgram_api_environment_secret": {"OPENAI_API_KEY": SECRET},
        "deepgram_api_tls": True,
    }


@pytest.fixture(scope="module")
def lab() -> Iterator[tuple[Deployment, Server]]:
    lab_down(NAME)
    deployment, (server,) = lab_up(NAME, PROJECT / f".cache/scenarios/{NAME}", "--nodes=1", "--gpu=l4:10")
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
    _, server = lab
    certificate = tmp_path / "deepgram.crt"
    certificate.write_text(server.sh("cat /etc/nginx/tls/deepgram.crt"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    resolve_for_this_process(monkeypatch, {server.name: server.address})
    http, ws = f"https://{server.name}", f"wss://{server.name}"
    context = ssl.create_default_context(cafile=str(certificate))
    places = DeepgramClientEnvironment(base=http, production=ws, agent=ws, agent_rest=http)
    return DeepgramClient(api_key="any", environment=places, httpx_client=httpx.Client(verify=context, timeout=60))


def words_of(client) -> list[str]:
    answer = client.listen.v1.media.transcribe_file(
        request=RECORDING.read_bytes(), model="nova-3-general", smart_format=True
    )
    return [word.strip(".,?") for word in answer.results.channels[0].alternatives[0].transcript.lower().split()]


def test_the_real_client_uses_every_path(client):
    assert words_of(client) == WORDS
    assert b"".join(client.speak.v1.audio.generate(text="Hello there", model="aura-2-thalia-en"))[:2] == b"\xff\xfb"
    said, sound = conversation(client)
    assert said[0] == "Welcome" and "SettingsApplied" in said and sound > 10_000


def conversation(client) -> tuple[list[str], int]:
    """The types of the agent's messages, and how many bytes of sound it greeted with."""
    said, sound, done = [], [0], threading.Event()
    with client.agent.v1.connect() as talk:

        def hear(message):
            if isinstance(message, bytes):
                sound[0] += len(message)
                return
            said.append(message.type)
            if message.type == "AgentAudioDone":
                done.set()

        talk.on("message", hear)
        threading.Thread(target=talk.start_listening, daemon=True).start()
        linear = {"encoding": "linear16", "sample_rate": 24000}
        talk.send_settings(
            AgentV1Settings(
                **{
                    "type": "Settings",
                    "audio": {"input": {**linear, "sample_rate": 16000}, "output": {**linear, "container": "none"}},
                    "agent": {
                        "listen": {"provider": {"type": "deepgram", "model": "nova-3"}},
                        "think": {"provider": {"type": "open_ai", "model": "gpt-4o-mini"}},
                        "speak": {"provider": {"type": "deepgram", "model": "aura-2-thalia-en"}},
                        "greeting": "Hello, this is a test.",
                    },
                }
            )
        )
        assert done.wait(20), said
    return said, sound[0]


def test_one_engine_is_changed_and_its_neighbours_serve_on(lab, client):
    """The API of two Engines stays, and answers with the other one; the Engines and APIs of other products are not touched."""
    deployment, server = lab
    before = started(server)
    own = next((deployment.folder / f"host_vars/{server.name}").glob("*.yml"))
    document = yaml.safe_load(own.read_text())
    document["deepgram_engines"][1]["max_active_requests"] = 15
    own.write_text(yaml.safe_dump(document))
    with calling(client) as answers:
        run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    after = started(server)
    assert {name for name in before if before[name] != after[name]} == {"deepgram-engine-b"}
    assert answers and all(answers), f"{answers.count(False)} of {len(answers)} requests failed"


def started(server: Server) -> dict[str, str]:
    lines = server.sh(
        "docker ps -q | xargs docker inspect --format '{{.Name}} {{.Created}} {{.State.StartedAt}}'"
    ).splitlines()
    return {line.split()[0].lstrip("/"): line for line in lines}


@contextlib.contextmanager
def calling(client) -> Iterator[list[bool]]:
    """Whether each of a row of requests was answered with the right words."""
    answers: list[bool] = []
    over = threading.Event()

    def call() -> None:
        while not over.is_set():
            try:
                answers.append(words_of(client) == WORDS)
            except Exception:
                answers.append(False)
            time.sleep(0.2)

    caller = threading.Thread(target=call)
    caller.start()
    yield answers
    over.set()
    caller.join()


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
    assert all(said["system_health"] in ("Ready", "Healthy") for said in status["apis"].values())
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
