"""What runs on a server: Engines, an API for each group of them, their ports, their configurations."""

import tomllib

import pytest
import yaml

from tests.roles_app.conftest import ROOT, load
from tests.roles_app.deepgram.test_templates import IMAGES, compose, config, unit
from tests.roles_app.rendering import of, render, value, written

FILTER = load("filter", "deepgram_topology")
GPU = "nvidia.com/gpu={}".format
TWO = [
    {"name": "a", "gpus": [GPU(0)], "max_active_requests": 20},
    {"name": "b", "gpus": [GPU(1)], "settings": {"chunking": {"streaming": {"step": 0.5}}}},
]
MIXED = [
    *TWO,
    {"name": "turns", "profile": "flux", "gpus": [GPU(2)], "flux_model": "flux-general-en", "flux_max_streams": 25},
    {"name": "en", "profile": "aura", "gpus": [GPU(3), GPU(4)]},
    {"name": "es", "profile": "aura", "gpus": [GPU(5), GPU(6)], "aura_language": "es"},
]


def ports(variables):
    layout = FILTER.layout(variables)
    listening = {
        one["component"]: one.get("metrics_port") or one["port"] for one in [*layout["engines"], *layout["apis"]]
    }
    return listening, {one["component"]: one["engines"] for one in layout["apis"]}


def test_a_server_has_one_of_each_without_a_list():
    assert ports({}) == ({"engine": 9991, "api": 8080}, {"api": ["engine"]})
    assert FILTER.layout({"deepgram_parts": ["api"]})["engines"] == []


def test_engines_of_one_kind_have_one_api():
    assert ports({"deepgram_engines": TWO}) == (
        {"engine-a": 9991, "engine-b": 9992, "api": 8080}, {"api": ["engine-a", "engine-b"]},
    )  # fmt: skip


def test_each_kind_has_an_api_of_its_own_and_of_aura_each_language_group():
    listening, asks = ports({"deepgram_engines": MIXED, "deepgram_api_port": 8100})
    assert asks == {
        "api-stt": ["engine-a", "engine-b"], "api-flux": ["engine-turns"],
        "api-aura-en": ["engine-en"], "api-aura-es": ["engine-es"],
    }  # fmt: skip
    assert [listening[name] for name in asks] == [8100, 8101, 8102, 8103]


@pytest.mark.parametrize(
    ("variables", "gpus"),
    [
        ({"deepgram_gpu_devices": [GPU(1), GPU(3)]}, [[GPU(1)], [GPU(3)]]),
        ({"preflight_gpu_count": 3}, [[GPU(0)], [GPU(1)], [GPU(2)]]),
        ({"preflight_gpu_count": "2"}, [[GPU(0)], [GPU(1)]]),
    ],
)
def test_one_word_gives_each_gpu_an_engine(variables, gpus):
    engines = FILTER.engines({"deepgram_engines": "one_per_gpu", **variables})
    assert [engine["gpus"] for engine in engines] == gpus
    assert (
        engines[0]["component"] == "engine-gpu0"
        and len(FILTER.apis({"deepgram_engines": "one_per_gpu", **variables})) == 1
    )


def test_defaults_are_those_of_the_role():
    known = written("deepgram")
    assert {name: known[name] for name in FILTER.USUAL} == FILTER.USUAL


def test_the_role_gives_the_filter_every_variable_that_the_table_names():
    profiles, languages = FILTER.tables()
    named = {
        name
        for row in profiles.values()
        for key, reported in row.items()
        if key.endswith("_of")
        for name in reported.values()
    }
    named |= {row["limit"]["variable"] for row in profiles.values()} | {
        row["groups_by"] for row in profiles.values() if "groups_by" in row
    }
    named |= {name for row in profiles.values() for name in row.get("required", [])}
    assert named <= set(written("deepgram")["_deepgram_own"]) and named <= set(written("deepgram"))
    assert set(languages) == {"en", "es", "polyglot"}


def test_each_engine_has_its_own_configuration():
    assert config("engine-a", deepgram_engines=TWO)["max_active_requests"] == 20
    b = config("engine-b", deepgram_engines=TWO, deepgram_engine_max_active_requests=7)
    assert b["max_active_requests"] == 7 and b["chunking"]["streaming"]["step"] == 0.5
    api = config("api", deepgram_engines=TWO)
    assert [one["url"] for one in api["driver_pool"]["standard"]] == [
        "https://engine-a:8080/v2",
        "https://engine-b:8080/v2",
    ]
    flux = config("engine-turns", deepgram_engines=MIXED)["flux"]
    assert flux == {"enabled": True, "model_name": "flux-general-en", "max_streams": 25}
    assert config("api-flux", deepgram_engines=MIXED)["features"]["listen_v2"] is True
    assert config("api-stt", deepgram_engines=MIXED)["features"]["listen_v2"] is False


LINKS = [
    "https://m/nova-3-general.en.batch.a1b2c3.dg?e=1", {"url": "https://m/flux-general-en.en.streaming.6e5fc14.dg"},
    "https://m/aura-2.generator.en.9.dg", "https://m/diarizer.en.batch.1.dg",
]  # fmt: skip


def test_engines_of_several_products_have_each_the_model_files_of_theirs():
    engines = {
        engine["name"]: engine["models"]
        for engine in FILTER.engines({"deepgram_engines": MIXED, "deepgram_models_links": LINKS})
    }
    assert engines["a"] == engines["b"] == ["nova-3-general.en.batch.a1b2c3.dg", "diarizer.en.batch.1.dg"]
    assert engines["turns"] == ["flux-general-en.en.streaming.6e5fc14.dg"] and engines["en"] == [
        "aura-2.generator.en.9.dg"
    ]
    own = [{**TWO[0], "models": ["nova-*"]}, TWO[1]]
    engines = FILTER.engines({"deepgram_engines": own, "deepgram_models_links": LINKS})
    assert next(engine["models"] for engine in engines) == ["nova-3-general.en.batch.a1b2c3.dg"]
    assert [
        engine["models"] for engine in FILTER.engines({"deepgram_engines": TWO, "deepgram_models_links": LINKS})
    ] == [None, None]
    _, file = compose(deepgram_engines=MIXED, deepgram_models_links=LINKS)
    models = "/var/lib/deepgram/models/flux-general-en.en.streaming.6e5fc14.dg:/models/flux-general-en.en.streaming.6e5fc14.dg:ro"
    assert file["services"]["engine-turns"]["volumes"] == ["/etc/deepgram/engine-turns:/config:ro", models]


AGENT = [
    {"name": "ears", "profile": "agent", "agent_kind": "flux", "gpus": [GPU(0)], "flux_model": "flux-general-en"},
    {"name": "voice", "profile": "agent", "agent_kind": "tts", "gpus": [GPU(1), GPU(2)]},
    {"name": "turns", "profile": "agent", "agent_kind": "eot", "gpus": [GPU(3)]},
]
PROVIDERS = {
    "open_ai": {
        "name": "OpenAI",
        "models": {"gpt-4o-mini": {"name": "GPT-4o mini", "tier": "standard", "public": True}},
    }
}


def test_a_voice_agent_has_an_engine_of_each_kind_behind_one_api():
    api = config("api", deepgram_engines=AGENT, deepgram_agent_llm_providers=PROVIDERS)
    flags = {
        one["url"]: [name for name in ("streaming_stt", "tts", "eot") if one[name]]
        for one in api["driver_pool"]["standard"]
    }
    assert flags == {
        "https://engine-ears:8080/v2": ["streaming_stt"], "https://engine-voice:8080/v2": ["tts"],
        "https://engine-turns:8080/v2": ["eot"],
    }  # fmt: skip
    # The chart's own defaults (values.yaml 0.42.0: agent).
    assert api["voice_agent"] == {
        "eot_timeout_ms": 3500, "max_conversation_chars_sent_to_llm": 15000, "allow_nonpublic_endpoints": False,
        "allow_insecure_endpoints": False, "llm_providers": PROVIDERS,
    }  # fmt: skip
    assert api["features"]["listen_v2"] is True and api["features"]["entity_redaction"] is True
    _, file = compose(deepgram_engines=AGENT)
    assert "IMPELLER_AURA2_T2C_UUID" in file["services"]["engine-voice"]["environment"]
    assert "IMPELLER_AURA2_T2C_UUID" not in file["services"]["engine-ears"]["environment"]


def test_compose_runs_each_with_its_own_gpus_and_ports():
    _, file = compose(deepgram_engines=MIXED, deepgram_engine_bind_address="10.0.0.1", deepgram_engine_memory="32g")
    services = file["services"]
    gpus = {
        name: one["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]
        for name, one in services.items()
        if "deploy" in one
    }
    assert gpus["engine-en"] == [GPU(3), GPU(4)] and len(gpus) == 5
    assert services["engine-b"]["ports"] == ["127.0.0.1:9992:9991", "10.0.0.1:8081:8080"]
    assert services["engine-b"]["mem_limit"] == "32g" and services["api-flux"]["depends_on"] == ["engine-turns"]
    assert services["api-aura-es"]["ports"] == ["127.0.0.1:8083:8080"]
    assert len({one["container_name"] for one in services.values()}) == 9
    published = [port.rsplit(":", 1)[0] for one in services.values() for port in one["ports"]]
    assert len(published) == len(set(published))


def test_quadlet_units_of_several():
    text, engine = unit("deepgram-engine-b.container", deepgram_engines=TWO, deepgram_engine_cpus=4)
    assert engine["Container"]["AddDevice"] == GPU(1) and "--network-alias=engine-b" in text and "--cpus=4" in text
    text, api = unit("deepgram-api.container", deepgram_engines=TWO)
    assert api["Unit"]["After"].split() == [
        "network-online.target",
        "deepgram-engine-a.service",
        "deepgram-engine-b.service",
    ]


def test_secrets_of_the_api_stay_in_their_files():
    secret = {"deepgram_api_environment_secret": {"OPENAI_API_KEY": "sk-1"}}
    text, file = compose(**secret)
    assert "sk-1" not in text and file["services"]["api"]["env_file"] == ["deepgram.env", "secret-OPENAI_API_KEY.env"]
    assert file["services"]["engine"]["env_file"] == ["deepgram.env"]
    assert value("deepgram", "_deepgram_secrets", **secret)[1] == {
        "path": "/etc/deepgram/secret-OPENAI_API_KEY.env", "content": "OPENAI_API_KEY=sk-1",
    }  # fmt: skip
    assert "/etc/deepgram/secret-OPENAI_API_KEY.env" in value("deepgram", "_deepgram_start_files", **secret)["api"]
    assert "/etc/deepgram/secret-OPENAI_API_KEY.env" in value("deepgram", "_deepgram_absent")
    assert "sk-1" not in render(
        "deepgram", "deepgram-api.container.j2", item={**API}, __deepgram_images=IMAGES, **secret
    )


API = {"kind": "api", "component": "api", "name": "", "port": 8080, "engines": ["engine"]}


def test_an_api_alone_asks_the_engines_of_its_profile_and_region():
    engines = {
        "e1": {"ansible_host": "10.0.0.1", "deepgram_engines": TWO},
        "e2": {"ansible_host": "10.0.0.2", "deepgram_profile": "flux"},
        "e3": {"ansible_host": "fd00::3", "deepgram_region": "west"},
    }
    apart = of("api", host="a1", servers={"engine": engines})
    assert value("deepgram", "deepgram_engine_addresses", **apart) == [
        "10.0.0.1:8080",
        "10.0.0.1:8081",
        "[fd00::3]:8080",
    ]
    west = value("deepgram", "deepgram_engine_addresses", **apart, deepgram_region="west")
    assert west == ["[fd00::3]:8080"]
    flux = value("deepgram", "deepgram_engine_addresses", **apart, deepgram_profile="flux")
    assert flux == ["10.0.0.2:8080"]


def test_an_api_of_a_voice_agent_knows_what_each_engine_of_other_servers_is_for():
    engines = {
        f"e{number}": {"deepgram_profile": "agent", "deepgram_agent_kind": kind}
        for number, kind in enumerate(("stt", "tts", "eot"))
    }
    apart = of("api", host="a1", servers={"engine": engines})
    reported = tomllib.loads(render("deepgram", "config.toml.j2", item="api", deepgram_profile="agent", **apart))
    assert [(one["url"], one["streaming_stt"], one["tts"], one["eot"]) for one in reported["driver_pool"]["standard"]] == [
        ("https://e0:8080/v2", True, False, False),
        ("https://e1:8080/v2", False, True, False),
        ("https://e2:8080/v2", False, False, True),
    ]  # fmt: skip


def test_what_a_server_must_have():
    assert FILTER.minimums({}) == {**FILTER.tables()[0]["stt"]["minimums"], "excluded": []}
    needs = FILTER.minimums({"deepgram_engines": MIXED})
    assert needs["gpu_count"] == 7 and needs["cpu_cores"] == 8 and needs["gpu_compute_capability"] == "8.0"
    assert FILTER.minimums({"deepgram_profile": "flux_tts"})["excluded"] == ["10de:2236", "10de:2237"]


def test_waits_for_each():
    one = value("deepgram", "_deepgram_waits")
    assert (
        len(one) == 1
        and one[0]["names"] == {"engine": "engine", "api": "api"}
        and one[0]["metrics_url"].endswith(":9991")
    )
    assert [list(wait["names"].values()) for wait in value("deepgram", "_deepgram_waits", deepgram_engines=TWO)] == [
        ["engine-a"], ["engine-b"], ["api"],
    ]  # fmt: skip
    assert value("deepgram", "_deepgram_urls", deepgram_engines=TWO)["engine-b"] == "http://127.0.0.1:9992/metrics"


def test_the_profiles_of_the_specs_are_those_of_the_table():
    specs = yaml.safe_load((ROOT / "roles/deepgram/meta/argument_specs.yml").read_text())["argument_specs"]["main"][
        "options"
    ]
    assert specs["deepgram_profile"]["choices"] == list(FILTER.tables()[0])
    assert specs["deepgram_aura_language"]["choices"] == list(FILTER.tables()[1])
    kinds = FILTER.tables()[0]["agent"]["kinds"]
    assert specs["deepgram_agent_kind"]["choices"] == ["", *kinds]
