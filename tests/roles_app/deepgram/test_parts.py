"""The role deepgram on servers that run one part, and which Engines an API asks."""

import tomllib

import pytest
import yaml

from tests.roles_app.deepgram.test_templates import IMAGES
from tests.roles_app.rendering import of, render, value

ENGINES = {
    "engine": {
        "e1": {"ansible_host": "192.0.2.1", "deepgram_region": "eu"},
        "e2": {"ansible_host": "192.0.2.2", "deepgram_region": "us", "deepgram_engine_port": 9443},
        "e3": {"deepgram_address": "2001:db8::3", "deepgram_region": "us"},
        "f1": {"ansible_host": "192.0.2.9", "deepgram_profile": "flux"},
        "n1": {"ansible_host": "192.0.2.8"},
    },
    "node": {"n1": {"ansible_host": "192.0.2.8"}},
}


def compose(*groups, **changes):
    known = of(*groups, servers=changes.pop("servers", {}))
    return yaml.safe_load(render("deepgram", "compose.yaml.j2", __deepgram_images=IMAGES, **known, **changes))


def asked(*groups, **changes):
    return value("deepgram", "deepgram_engine_addresses", **of(*groups, servers=ENGINES), **changes)


def test_a_node_asks_its_own_engine_alone():
    assert asked("node") == ["engine:8080"]


def test_an_api_asks_every_engine_of_its_profile_that_listens_for_it():
    assert asked("api") == ["192.0.2.1:8080", "192.0.2.2:9443", "[2001:db8::3]:8080"]
    assert asked("api", deepgram_profile="flux") == ["192.0.2.9:8080"]


def test_an_api_of_a_region_asks_the_engines_of_its_region():
    assert asked("api", deepgram_region="us") == ["192.0.2.2:9443", "[2001:db8::3]:8080"]
    problems = value("deepgram", "_deepgram_problems", **of("api", servers=ENGINES), deepgram_region="mars")
    assert len(problems) == 1 and "region mars" in problems[0]


def test_an_api_asks_another_region_only_while_its_own_has_no_engine():
    mars = {"deepgram_region": "mars"}
    assert asked("api", deepgram_region="us", deepgram_region_fallback=["eu"]) == [
        "192.0.2.2:9443",
        "[2001:db8::3]:8080",
    ]
    assert asked("api", **mars, deepgram_region_fallback=["us", "eu"]) == ["192.0.2.2:9443", "[2001:db8::3]:8080"]
    assert asked("api", **mars, deepgram_region_fallback=["moon", "mars", "eu", "us"]) == ["192.0.2.1:8080"]
    assert asked("api", **mars, deepgram_region_fallback=["moon"]) == []
    # of its profile: Engines of another one are none
    assert asked("api", deepgram_region="us", deepgram_profile="flux", deepgram_region_fallback=["eu"]) == []
    known = of("api", servers=ENGINES) | mars | {"deepgram_region_fallback": ["eu"]}
    drivers = tomllib.loads(render("deepgram", "config.toml.j2", item="api", **known))["driver_pool"]["standard"]
    assert [one["url"] for one in drivers] == ["https://192.0.2.1:8080/v2"]


def test_a_voice_agent_falls_back_by_what_its_region_lacks():
    def agent(kind, region):
        return {"deepgram_profile": "agent", "deepgram_agent_kind": kind, "deepgram_region": region}

    engines = {
        "eu1": agent("stt", "eu"),
        "us1": agent("stt", "us"),
        "us2": agent("tts", "us"),
        "us3": agent("eot", "us"),
    }
    own = {"deepgram_profile": "agent", "deepgram_region": "eu", "deepgram_region_fallback": ["us"]}
    flags = value("deepgram", "deepgram_engine_flags", **of("api", host="a1", servers={"engine": engines}), **own)
    assert flags == {"eu1:8080": "streaming_stt", "us2:8080": "tts", "us3:8080": "eot"}


def test_each_engine_is_a_driver_of_the_configuration():
    text = render("deepgram", "config.toml.j2", item="api", **of("api", servers=ENGINES))
    drivers = tomllib.loads(text)["driver_pool"]["standard"]
    assert [one["url"] for one in drivers] == [
        "https://192.0.2.1:8080/v2",
        "https://192.0.2.2:9443/v2",
        "https://[2001:db8::3]:8080/v2",
    ]
    assert drivers[1]["timeout_backoff"] == 1.2


def test_containers_of_one_part():
    engine = compose("engine", servers={"proxy": {"lb": {}}})["services"]
    assert list(engine) == ["engine"]
    assert engine["engine"]["ports"] == ["127.0.0.1:9991:9991", "0.0.0.0:8080:8080"]
    api = compose("api", servers=ENGINES | {"proxy": {"lb": {}}})["services"]
    assert list(api) == ["api"] and "depends_on" not in api["api"] and api["api"]["ports"] == ["0.0.0.0:8080:8080"]
    node = compose("node")["services"]
    assert node["engine"]["ports"] == ["127.0.0.1:9991:9991"] and node["api"]["depends_on"] == ["engine"]


@pytest.mark.parametrize(("group", "other"), [("api", "engine"), ("engine", "api")])
@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_what_the_role_answers_for(kind, group, other):
    known = {**of(group, servers=ENGINES), "deepgram_container_engine": kind}
    files, absent = value("deepgram", "_deepgram_files", **known), value("deepgram", "_deepgram_absent", **known)
    assert f"/etc/deepgram/{group}/{group}.toml" in files and f"/etc/deepgram/{other}/{other}.toml" in absent
    assert (f"/etc/containers/systemd/deepgram-{group}.container" in files) is (kind == "podman")
    assert f"/etc/containers/systemd/deepgram-{other}.container" in absent and not set(files) & set(absent)
    assert list(value("deepgram", "_deepgram_containers", **known)) == [f"deepgram-{group}"]
    units = {"docker": {"deepgram.service": ["active", "enabled"]}, "podman": {f"deepgram-{group}.service": ["active"]}}
    assert value("deepgram", "_deepgram_units", **known) == units[kind]
    assert list(value("deepgram", "_deepgram_urls", **known)) == [group]
    assert list(value("deepgram", "_deepgram_image_names", **known)) == [group]


def test_a_server_in_both_groups_needs_two_ports():
    both = of("api", "engine")
    assert "another port" in value("deepgram", "_deepgram_problems", **both)[0]
    assert value("deepgram", "_deepgram_problems", **both, deepgram_engine_port=8081) == []


def test_who_the_api_listens_for():
    def bound(*groups, **servers):
        return value("deepgram", "deepgram_api_bind_address", **of(*groups, servers=servers))

    assert bound("node") == "127.0.0.1" and bound("node", "proxy") == "127.0.0.1"
    assert bound("node", proxy={"lb": {}}) == "0.0.0.0" == bound("node", "proxy", proxy={"lb": {}})
