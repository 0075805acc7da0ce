"""A server with several Engines: each is asked for itself, and proven for itself."""

import json
from pathlib import Path

import pytest

from dgctl.deployment.deployment import Deployment, Host
from dgctl.verify import suite, topology
from dgctl.verify.desired import desired

GPU = "nvidia.com/gpu={}".format
ENGINES = [
    {"name": "a", "gpus": [GPU(0)], "max_active_requests": 20},
    {"name": "b", "gpus": [GPU(1)]},
    {"name": "turns", "profile": "flux", "gpus": [GPU(2)], "flux_model": "flux-general-en"},
    {"name": "en", "profile": "aura", "gpus": [GPU(3), GPU(4)]},
]
LINKS = [
    "https://m/nova-3-general.en.batch.a1b2c3.dg",
    "https://m/flux-general-en.en.streaming.6e5fc14.dg",
    "https://m/aura-2.generator.en.1.dg",
]


def host(name="gpu1", **variables):
    return Host(name, "192.0.2.1", ["node"], {"deepgram_engines": ENGINES, "deepgram_models_links": LINKS, **variables})


def of(*hosts):
    return Deployment(
        Path("inventory.ini"),
        {one.name: one for one in hosts},
        [one.name for one in hosts],
        {"node": [one.name for one in hosts]},
    )


def test_each_engine_is_a_key_and_an_api_stands_beside_its_first():
    keys = topology.keys(host())
    assert {key: stack.names for key, stack in keys.items()} == {
        "gpu1": {"engine": "engine-a", "api": "api-stt"},
        "gpu1/engine-b": {"engine": "engine-b"},
        "gpu1/engine-turns": {"engine": "engine-turns", "api": "api-flux"},
        "gpu1/engine-en": {"engine": "engine-en", "api": "api-aura-en"},
    }


def test_a_plain_server_is_one_key_without_names():
    one = Host("gpu1", "192.0.2.1", ["node"], {})
    assert list(topology.keys(one)) == ["gpu1"]
    assert topology.desired_state(of(one), one, topology.keys(one)["gpu1"])["names"] == {}


def test_each_is_wanted_as_its_own():
    one = host()
    values = {key: topology.desired_state(of(one), one, stack) for key, stack in topology.keys(one).items()}
    assert [values[key]["deepgram_metrics_port"] for key in values] == [9991, 9992, 9993, 9994]
    assert values["gpu1"]["deepgram_engine_max_active_requests"] == 20
    assert values["gpu1/engine-b"]["names"] == {"engine": "engine-b"}
    assert (
        values["gpu1/engine-turns"]["flux"] == "flux-general-en"
        and values["gpu1/engine-turns"]["deepgram_api_port"] == 8081
    )
    assert values["gpu1/engine-en"]["voices"] == [{"path": "/v1/speak", "model": "aura-2-thalia-en"}]
    assert values["gpu1/engine-en"]["deepgram_gpu_devices"] == [GPU(3), GPU(4)]
    assert [one["file"] for one in values["gpu1/engine-en"]["models"]] == ["aura-2.generator.en.1.dg"]


def test_an_api_of_two_engines_has_both_proven():
    one = host()
    engines = topology.asked(of(one))
    assert engines["gpu1"] == {"engine-a:8080": "gpu1", "engine-b:8080": "gpu1/engine-b"}
    assert topology.REMOTE_ENGINES in topology.groups(of(one), one, engines["gpu1"], "gpu1")
    assert topology.groups(of(one), one, None, "gpu1/engine-b") == ["engine"]
    assert topology.groups(of(one), one, engines["gpu1/engine-turns"], "gpu1/engine-turns") == ["api", "engine"]


def test_engines_of_other_servers_are_known_by_their_ports():
    engine = Host("e1", "10.0.0.1", ["engine"], {"deepgram_parts": ["engine"], "deepgram_engines": ENGINES[:2]})
    api = Host(
        "a1",
        "10.0.0.2",
        ["api"],
        {"deepgram_parts": ["api"], "deepgram_engine_addresses": ["10.0.0.1:8080", "10.0.0.1:8081"]},
    )
    assert topology.asked(of(engine, api)) == {"a1": {"10.0.0.1:8080": "e1", "10.0.0.1:8081": "e1/engine-b"}}


def test_a_check_of_an_engine_is_its_server_s():
    check = suite._of_host(suite.Check("gpu1/engine-b", "engine.on_the_gpu", "pass"))
    assert (check.host, check.check) == ("gpu1", "engine.on_the_gpu (engine-b)")
    assert suite._of_host(suite.Check("gpu1", "engine.on_the_gpu", "pass")).check == "engine.on_the_gpu"


def test_the_plan_has_them_all(tmp_path):
    one = host(ansible_connection="local")
    suite._plan(tmp_path, of(one), ["gpu1"])
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert list(plan["hosts"]) == list(topology.keys(one)) and list(plan["others"]) == ["gpu1/engine-b"]
    assert (
        plan["hosts"]["gpu1/engine-turns"]["parts"] == ["engine", "api"]
        and plan["hosts"]["gpu1/engine-b"]["host"] == "gpu1"
    )


@pytest.mark.parametrize(
    ("values", "voices"),
    [
        (
            {"deepgram_profile": "aura", "deepgram_aura_language": "es"},
            [{"path": "/v1/speak", "model": "aura-2-celeste-es"}],
        ),
        ({"deepgram_profile": "aura", "deepgram_aura_language": "polyglot"}, []),
        (
            {"deepgram_profile": "aura", "deepgram_verify_voice": "aura-2-x-nl"},
            [{"path": "/v1/speak", "model": "aura-2-x-nl"}],
        ),
        ({"deepgram_profile": "flux_tts"}, [{"path": "/v2/speak", "model": "flux-haley-en"}]),
        ({"deepgram_profile": "stt"}, []),
    ],
)
def test_a_voice_for_each_product_that_speaks(values, voices):
    assert desired(values)["voices"] == voices
